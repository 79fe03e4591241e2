# SPDX-License-Identifier: Apache-2.0
"""How large a file and a function may be: limits for the sake of those who read them.

The complexity is McCabe's with comprehensions counted: a loop and a condition are no simpler inside
brackets. A nested function counts for itself. *Branches* are the same with each ``and`` and ``or``,
and with what is in a lambda. Docstrings do not count for a function's length.
"""

import ast
from collections.abc import Iterator
import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[2]
MOST_LINES, MOST_LINES_OF_A_FUNCTION, HIGHEST_COMPLEXITY = 350, 40, 10
MOST_BRANCHES = 13

BRANCHES = (ast.If, ast.For, ast.While, ast.ExceptHandler, ast.IfExp, ast.match_case)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
NESTED = (*FUNCTIONS, ast.Lambda)

# What is above a limit, by file; nothing is added to it.
LARGE: dict[str, set[str]] = {}


def _sources() -> Iterator[pathlib.Path]:
    yield from sorted((ROOT / 'os_brick').rglob('*.py'))
    for path in sorted((ROOT / 'tools').rglob('*')):
        is_script = path.is_file() and not path.suffix and path.read_bytes().startswith(b'#!')
        if path.suffix == '.py' or (is_script and b'python' in path.read_bytes()[:40]):
            yield path


SOURCES = {str(path.relative_to(ROOT)): path.read_text() for path in _sources()}


def _own(function: ast.AST, nested: tuple[type[ast.AST], ...] = NESTED) -> Iterator[ast.AST]:
    """Yield the nodes of a function without those of functions in it."""
    for child in ast.iter_child_nodes(function):
        yield child
        if not isinstance(child, nested):
            yield from _own(child, nested)


def _complexity(function: ast.AST) -> int:
    return _counted(list(_own(function)))


def _counted(nodes: list[ast.AST]) -> int:
    loops = [node for node in nodes if isinstance(node, ast.comprehension)]
    return 1 + sum(isinstance(n, BRANCHES) for n in nodes) + sum(1 + len(n.ifs) for n in loops)


def _branches(function: ast.AST) -> int:
    nodes = list(_own(function, FUNCTIONS))
    words = [len(node.values) - 1 for node in nodes if isinstance(node, ast.BoolOp)]
    return _counted(nodes) + sum(words)


def _lines(function: ast.FunctionDef) -> int:
    first = function.body[0]
    has_docstring = ast.get_docstring(function) is not None
    docstring = (first.end_lineno or 0) - first.lineno + 1 if has_docstring else 0
    return (function.end_lineno or 0) - function.lineno + 1 - docstring


def _above(source: str) -> set[str]:
    """Return what of a file is above a limit: the names of functions, or ``lines``."""
    found = {'lines'} if source.count('\n') > MOST_LINES else set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            is_long = _lines(node) > MOST_LINES_OF_A_FUNCTION
            is_knotty = _complexity(node) > HIGHEST_COMPLEXITY or _branches(node) > MOST_BRANCHES
            if is_long or is_knotty:
                found.add(node.name)
    return found


@pytest.mark.parametrize('path', SOURCES)
def test_the_limits(path: str) -> None:
    assert _above(SOURCES[path]) <= LARGE.get(path, set())


def test_the_table_names_files_that_there_are() -> None:
    assert LARGE.keys() <= SOURCES.keys()


@pytest.mark.parametrize(
    ('body', 'complexity'),
    [
        ('pass', 1),
        ('if a:\n  pass\n elif b:\n  pass', 3),
        ('return [x for x in a if x if not x]', 4),
        ('return {x: y for x in a for y in x}', 3),
        ('return a if b else c', 2),
        ('return lambda: [x for x in a]', 1),
        ('def g():\n  if a:\n   pass', 1),
        ('try:\n  pass\n except A:\n  pass\n except B:\n  pass', 3),
        ('match a:\n  case 1:\n   pass\n  case _:\n   pass', 3),
    ],
)
def test_how_complexity_is_counted(body: str, complexity: int) -> None:
    assert _complexity(ast.parse(f'def f():\n {body}').body[0]) == complexity


@pytest.mark.parametrize(
    ('body', 'branches'),
    [
        ('return a and b or c', 3),
        ('return lambda: [x for x in a]', 2),
        ('if a and b and c:\n  pass', 4),
        ('def g():\n  return a and b', 1),
    ],
)
def test_how_branches_are_counted(body: str, branches: int) -> None:
    assert _branches(ast.parse(f'def f():\n {body}').body[0]) == branches


def test_a_docstring_is_not_code() -> None:
    (function,) = ast.parse('def f():\n """One.\n\n Two.\n """\n return 1').body
    assert isinstance(function, ast.FunctionDef)
    assert _lines(function) == 2


def test_each_limit_is_seen() -> None:
    long = 'def long():\n' + ' pass\n' * MOST_LINES_OF_A_FUNCTION
    knotty = 'def knotty():\n' + ' if a:\n  pass\n' * HIGHEST_COMPLEXITY
    assert _above(long) == {'long'}
    assert _above(knotty) == {'knotty'}
    wordy = 'def wordy():\n return ' + ' or '.join('a' * (MOST_BRANCHES + 1))
    assert _above(wordy) == {'wordy'}
    assert _above('\n' * (MOST_LINES + 1)) == {'lines'}
