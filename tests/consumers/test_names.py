# SPDX-License-Identifier: Apache-2.0
"""Each name that consumers use is there and can be called as they call it.

``names.txt`` has one statement a line:

=====================  =====================================================
``a.b(x, y=z)``        the object can be called so; ``self`` is an argument
``a.b == literal``     it has this value
``a.b : type``         it is an instance of this type
``a.b < type``         it is a subclass
``a.b``                it is there
``import a; a.b``      the attribute is there in a process that imports only that
=====================  =====================================================
"""

import ast
import importlib
import inspect
import os
import pathlib
import subprocess
import sys
from typing import Any

import pytest

HERE = pathlib.Path(__file__).parent

STATEMENTS = [
    line
    for line in (HERE / 'names.txt').read_text().splitlines()
    if line.strip() and not line.startswith('#')
]


def _resolve(dotted: str) -> Any:
    """Import as much of a dotted name as is a module, and return the object."""
    parts = dotted.split('.')
    found = importlib.import_module(parts[0])
    for number, part in enumerate(parts[1:], start=2):
        if not hasattr(found, part):
            try:
                importlib.import_module('.'.join(parts[:number]))
            except ModuleNotFoundError as error:
                raise AttributeError(f'{dotted}: no {part}') from error
        found = getattr(found, part)
    return found


def _check_call(node: ast.Call) -> None:
    signature = inspect.signature(_resolve(ast.unparse(node.func)))
    keywords = {str(keyword.arg): object() for keyword in node.keywords}
    signature.bind(*(object() for _argument in node.args), **keywords)


def _check_comparison(node: ast.Compare) -> None:
    subject = _resolve(ast.unparse(node.left))
    wanted = node.comparators[0]
    if isinstance(node.ops[0], ast.Eq):
        assert subject == ast.literal_eval(wanted)
    else:
        assert isinstance(node.ops[0], ast.Lt)
        assert issubclass(subject, _resolve(ast.unparse(wanted)))


def _check_alone(statement: str) -> None:
    """Evaluate it in a process of its own, that has imported nothing else."""
    done = subprocess.run(
        [sys.executable, '-c', statement],
        cwd=HERE.parents[1],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def _check(statement: str) -> None:
    if statement.startswith('import '):
        _check_alone(statement)
        return
    node = ast.parse(statement).body[0]
    if isinstance(node, ast.AnnAssign):
        kind = _resolve(ast.unparse(node.annotation))
        subject = _static(ast.unparse(node.target))
        assert isinstance(subject, kind)
        return
    assert isinstance(node, ast.Expr)
    match node.value:
        case ast.Call():
            _check_call(node.value)
        case ast.Compare():
            _check_comparison(node.value)
        case _:
            _resolve(ast.unparse(node.value))


def _static(dotted: str) -> Any:
    """Return the object, of a class the attribute itself: a property, not its value."""
    owner, _dot, name = dotted.rpartition('.')
    holder = _resolve(owner)
    return inspect.getattr_static(holder, name) if isinstance(holder, type) else _resolve(dotted)


@pytest.mark.parametrize('statement', STATEMENTS)
def test_statement(statement: str) -> None:
    _check(statement)


def test_the_list_is_whole() -> None:
    assert len(STATEMENTS) > 180


@pytest.mark.parametrize(
    'statement',
    [
        'os_brick.nothing',
        'os_brick.exception.Nothing(device=path)',
        'os_brick.initiator.ISCSI == "iscsi"',
        'os_brick.exception.BrickException < builtins.ValueError',
        'os_brick.initiator.ISCSI : builtins.int',
        'os_brick.initiator.utils.guard_connection(volume, more)',
        'os_brick.executor.Executor._execute.nothing',
        'import os_brick; os_brick.initiator.connector',
    ],
)
def test_a_wrong_statement_is_seen(statement: str) -> None:
    with pytest.raises((AssertionError, AttributeError, TypeError)):
        _check(statement)
