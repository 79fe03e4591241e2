# SPDX-License-Identifier: Apache-2.0
"""Which suites tools/test runs, and what it makes of what tools/consumers prints."""

import pathlib
import subprocess
import sys
import types

import pytest

TOOLS = pathlib.Path(__file__).parents[2] / 'tools'
TABLE = """\
consumer                                 modules reference   ours  lost  seconds
making the environment of glance_store[test,cinder]==5.7.0 once
glance_store[test,cinder]==5.7.0               6       157    156     1       27
cinderlib==5.2.0                               3       111    111     0      140
"""


@pytest.fixture
def suites(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    monkeypatch.syspath_prepend(str(TOOLS / 'lib'))
    from guestlib import suites  # type: ignore[import-not-found]

    return suites  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ('table', 'counts'),
    [(TABLE, (267, 1)), (TABLE.splitlines()[0], (0, 0)), ('nova cannot be installed: x 1', (0, 0))],
)
def test_tests_are_counted(suites: types.ModuleType, table: str, counts: tuple[int, int]) -> None:
    assert suites._counted(table) == counts


@pytest.mark.parametrize(
    ('words', 'names'),
    [
        ('', 'unit eventlet consumers functional'),
        ('--unit', 'unit eventlet consumers'),
        ('--functional', 'functional'),
        ('-k remapped', 'unit functional'),
        ('-k remapped --unit', 'unit'),
        ('tests/unit/core', 'unit'),
        ('tests/unit/core tests/functional/test_attach.py', 'unit functional'),
        ('tests/unit/core tests/functional/test_attach.py --functional', 'functional'),
        ('tests/unit/core --functional', ''),
        ('tests', 'unit eventlet consumers functional'),
    ],
)
def test_which_suites_are_run(suites: types.ModuleType, words: str, names: str) -> None:
    options, rest = suites._parser().parse_known_args(words.split())
    assert suites.wanted(options, suites.select(rest)) == names.split()


def _made(cache: pathlib.Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(TOOLS / 'consumers'), '--fast', '--made'],
        env={'XDG_CACHE_HOME': str(cache), 'PATH': '/usr/bin:/bin'},
        capture_output=True,
        text=True,
        check=False,
    )


def test_environments_that_are_not_made_are_told(tmp_path: pathlib.Path) -> None:
    done = _made(tmp_path)
    assert done.returncode == 1
    assert 'not made yet' in done.stdout
    assert 'glance_store' in done.stdout


def test_environments_that_are_made(tmp_path: pathlib.Path) -> None:
    names = ('python-brick-cinderclient-ext-2.8.0', 'glance_store-5.7.0', 'cinderlib-5.2.0')
    for name in (*names, 'nova-34.0.0'):
        place = tmp_path / 'os-brick-consumers' / name
        place.mkdir(parents=True)
        (place / 'ok').touch()
    assert _made(tmp_path).returncode == 0
