# SPDX-License-Identifier: Apache-2.0
"""Python on the pages passes the type checker, so each name and call of it is there."""

import ast
import os
import pathlib
import subprocess
import sys
import textwrap

import pytest

from tests import pages

PAGES = (*sorted(pages.USER.glob('*.rst')), pages.ROOT / 'README.rst')
# What the sentence before a snippet has introduced, or the reader has anyway.
PRELUDE = """
from typing import Any

from oslo_config import cfg
import os_brick
from os_brick import caches, encryptors, exception
from os_brick.initiator import connector
from os_brick.local_dev import lvm
from os_brick.remotefs import remotefs

root_helper: str = 'sudo'
connection_info: Any = {}
key_manager: Any = None
context: Any = None
encryption_metadata: dict[str, Any] = {}

"""


def _is_python(block: str) -> bool:
    if block.startswith(('>>>', '{')):
        return False
    try:
        tree = ast.parse(block)
    except SyntaxError:
        return False
    return any(isinstance(node, ast.Call) for node in ast.walk(tree))


SNIPPETS = [
    (page.stem, number, block)
    for page in PAGES
    for number, block in enumerate(pages.blocks(page.read_text()))
    if _is_python(block)
]


def _errors(tmp_path: pathlib.Path, snippets: list[tuple[str, int, str]]) -> list[str]:
    """What mypy says of all snippets in one go, each of which is a function."""
    code = PRELUDE
    for stem, number, block in snippets:
        name = f'{stem.replace("-", "_")}_{number}'
        code += f'\ndef {name}() -> None:\n{textwrap.indent(block, "    ")}\n'
    path = tmp_path / 'snippets.py'
    path.write_text(code)
    options = ('--follow-imports=silent', '--ignore-missing-imports', '--config-file=')
    done = subprocess.run(
        [
            *(sys.executable, '-m', 'mypy', '--no-error-summary', '--check-untyped-defs'),
            *(*options, f'--cache-dir={pages.ROOT / ".mypy_cache"}', str(path)),
        ],
        cwd=tmp_path,
        env={**os.environ, 'MYPYPATH': str(pages.ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.stderr, done.stderr
    return [line for line in done.stdout.splitlines() if ': error:' in line]


def test_what_a_reader_copies_passes_the_type_checker(tmp_path: pathlib.Path) -> None:
    assert len(SNIPPETS) > 6
    wrong = ('wrong', 0, "connector.InitiatorConnector.factory('ISCSI', None).attach({})")
    errors = _errors(tmp_path, [*SNIPPETS, wrong])
    assert len(errors) == 1, '\n'.join(errors)
    assert '"attach"' in errors[0]


@pytest.mark.parametrize(('page', 'number', 'block'), SNIPPETS)
def test_a_snippet_names_no_private_name(page: str, number: int, block: str) -> None:
    names = [node.attr for node in ast.walk(ast.parse(block)) if isinstance(node, ast.Attribute)]
    assert not [name for name in names if name.startswith('_')]
