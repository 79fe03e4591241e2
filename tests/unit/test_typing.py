# SPDX-License-Identifier: Apache-2.0
"""A caller that checks its types gets ours: the package says that it has them, and they fit."""

import ast
import inspect
import os
import pathlib
import subprocess
import sys
import textwrap

from os_brick.initiator import properties, registry

ROOT = pathlib.Path(__file__).parents[2]

# What a caller writes. Each line of WRONG is to be an error, and nothing else.
GOOD = """
    from typing import Any

    from os_brick import exception
    from os_brick.initiator import connector, properties

    wanted: properties.ISCSI = {
        'target_portal': '10.0.0.1:3260',
        'target_iqn': 'iqn.2026-11.org.array:t1',
        'target_lun': 1,
    }
    brick = connector.InitiatorConnector.factory('ISCSI', None, use_multipath=True)
    info = brick.connect_volume(wanted)
    brick.disconnect_volume(wanted, info, force=True, ignore_errors=False)

    fabric: properties.FibreChannel = {'target_wwn': ['50014380186b3f65'], 'target_lun': 1}
    nvme: properties.NVMeOF = {
        'target_nqn': 'nqn.2014-08.org.nvmexpress:uuid:1',
        'portals': [('10.0.0.1', 4420, 'tcp')],
        'vol_uuid': '6f1b',
    }
    plain: dict[str, Any] = {'device_path': '/dev/vdb'}

    def sizes() -> list[int | None]:
        return [brick.extend_volume(each) for each in (fabric, nvme, plain)]

    def why(error: exception.VolumeInUse) -> str:
        return f'{error.device}: {error.holder or error.msg}'
"""
WRONG = """
    misspelt: properties.ISCSI = {'target_portals': '10.0.0.1:3260', 'target_lunn': 1}
    brick.connect_volume()
    brick.attach(wanted)
    length: int = brick.connect_volume(wanted)
"""


def _mypy(tmp_path: pathlib.Path, code: str) -> list[str]:
    path = tmp_path / 'caller.py'
    path.write_text(textwrap.dedent(code))
    done = subprocess.run(
        [
            *(
                sys.executable,
                '-m',
                'mypy',
                '--strict',
                '--no-error-summary',
                '--hide-error-context',
            ),
            # Of the libraries that others wrote some have no types.
            *('--follow-imports=silent', '--ignore-missing-imports', '--config-file='),
            f'--cache-dir={ROOT / ".mypy_cache"}',
            str(path),
        ],
        cwd=tmp_path,
        env={**os.environ, 'MYPYPATH': str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.stderr, done.stderr
    return [line for line in done.stdout.splitlines() if ': error:' in line]


def test_what_a_caller_writes_passes_strict_and_what_is_wrong_does_not(
    tmp_path: pathlib.Path,
) -> None:
    found = _mypy(tmp_path, GOOD + WRONG)
    first = len(textwrap.dedent(GOOD).splitlines()) + 1
    lines = {int(line.split(':')[1]) for line in found}
    assert lines == set(range(first + 1, first + 5)), '\n'.join(found)


def test_the_package_says_that_it_has_types() -> None:
    assert (ROOT / 'os_brick' / 'py.typed').exists()


def test_every_protocol_that_is_written_has_a_type_for_its_properties() -> None:
    """Each key that a request reads is in the protocol's type."""
    files = {
        'iscsi': properties.ISCSI,
        'fibre_channel': properties.FibreChannel,
        'nvmeof': properties.NVMeOF,
    }
    for name, kind in files.items():
        source = (ROOT / 'os_brick' / 'request' / f'{name}.py').read_text()
        keys = set(inspect.get_annotations(kind)) | _inherited(kind)
        assert _keys_read(source) <= keys, name


def _inherited(kind: type) -> set[str]:
    return set(kind.__required_keys__ | kind.__optional_keys__)  # type: ignore[attr-defined]


def _keys_read(source: str) -> set[str]:
    """The keys that are read by name: ``raw.get('x')``, ``value(raw, 'x', ...)``, ``raw['x']``."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        texts: list[ast.expr] = []
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            reads = ('get', 'value', 'flag', 'items', 'wwid', 'parsed')
            texts = node.args if name.rpartition('.')[2] in reads else []
        elif isinstance(node, ast.Subscript):
            texts = [node.slice] if ast.unparse(node.value) in {'raw', 'found'} else []
        found |= {
            text.value for text in texts if isinstance(text, ast.Constant) and text.value != ''
        }
    return {key for key in found if isinstance(key, str)} - {'multipath_id', 'path'}


def test_one_row_a_protocol() -> None:
    for name, row in registry.PROTOCOLS.items():
        assert name == name.upper()
        assert row.platforms >= set(row.instead), name
