# SPDX-License-Identifier: Apache-2.0
"""Pages that list what is in the code list all of it, and nothing else."""

import pathlib
import re

import pytest

from os_brick import exception
from os_brick.initiator import properties, registry

ROOT = pathlib.Path(__file__).parents[2]
USER = ROOT / 'doc' / 'source' / 'user'


def _texts() -> str:
    """The source as one line, with texts that are written in several pieces joined."""
    source = ' '.join(path.read_text() for path in sorted((ROOT / 'os_brick').rglob('*.py')))
    return re.sub(r"['\"]\s*\n?\s*f?['\"]", '', ' '.join(source.split()))


TEXTS = _texts()
TROUBLE = (USER / 'troubleshooting.rst').read_text()
LINES = re.findall(r'^``(.*)``$', TROUBLE.partition('By log line')[2], re.MULTILINE)


@pytest.mark.parametrize('line', LINES)
def test_a_log_line_that_is_explained_is_one_that_is_written(line: str) -> None:
    assert line in TEXTS


def test_a_line_that_no_code_writes_is_seen() -> None:
    assert len(LINES) > 10
    assert 'Multipath is wanted and no one answers' not in TEXTS


def test_every_protocol_is_in_the_matrix() -> None:
    page = (USER / 'support-matrix.rst').read_text()
    rows = re.findall(r'^   \* - ([A-Z_, ]+)$', page, re.MULTILINE)
    named = [name for row in rows for name in row.split(', ')]
    assert sorted(named) == sorted(registry.PROTOCOLS)


def test_drivers_find_the_properties_of_every_protocol() -> None:
    page = (USER / 'driver-authors.rst').read_text()
    shown = re.findall(r'^\.\. properties:: (\w+)$', page, re.MULTILINE)
    kinds = {
        name
        for name, kind in vars(properties).items()
        if hasattr(kind, '__total__') and name not in {'Common', 'SCSI', 'DeviceInfo', 'TypedDict'}
    }
    assert sorted(shown) == sorted(kinds)


@pytest.mark.parametrize('page', ['service-developers', 'troubleshooting', 'install'])
def test_errors_that_are_named_exist(page: str) -> None:
    text = (USER / f'{page}.rst').read_text()
    named = set(re.findall(r'``([A-Z]\w+(?:Error|Exception|Found|Ready|Use|Out|Mismatch))``', text))
    ours = {
        name for name in named if name not in {'ProcessExecutionError', 'OSError', 'ValueError'}
    }
    assert ours <= set(vars(exception))
    assert named


def test_packages_are_those_of_bindep() -> None:
    """The page is for people, the file for bindep; they name the same packages."""
    file = (ROOT / 'bindep.txt').read_text().splitlines()
    packages = {line.split()[0] for line in file if line.strip() and line[0] != '#'} - {'git'}
    page = (USER / 'install.rst').read_text()
    assert not {name for name in packages if not re.search(rf'(?<![\w-]){name}(?![\w-])', page)}


@pytest.mark.parametrize('page', ['install', 'configuration'])
def test_lines_for_systemd_are_those_of_its_files(page: str) -> None:
    """One group and one mode, on every page and in what is installed."""
    files = [*(ROOT / 'contrib').rglob('tmpfiles.d/*'), *(ROOT / 'contrib').rglob('sysusers.d/*')]
    lines = {line for path in files for line in path.read_text().splitlines()}
    shown = re.findall(r'^ +([dg] \S.*)$', (USER / f'{page}.rst').read_text(), re.MULTILINE)
    assert shown
    assert set(shown) <= lines
