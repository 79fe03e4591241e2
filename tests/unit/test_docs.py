# SPDX-License-Identifier: Apache-2.0
"""Names of ours in the pages exist: modules, what is in them, and tests."""

import ast
from collections.abc import Iterator
import pathlib
import re

import pytest

from os_brick.core import locks

ROOT = pathlib.Path(__file__).parents[2]
PAGES = [
    *sorted((ROOT / 'doc' / 'source').rglob('*.rst')),
    *(ROOT / name for name in ('README.rst', 'CONTRIBUTING.rst')),
]
LAYERS = ('core', 'host', 'initiator', 'model', 'paths', 'plans', 'privileged', 'request')

# A name of what is in a module, as the pages write it: module.name, perhaps with folders before it.
DOTTED = re.compile(r'(?:[a-z_]+/)*[a-z_]+(?:\.[A-Za-z_]\w*)+(?:\(\))?')
PLACE = re.compile(r'(?:os_brick|tests|tools|doc|' + '|'.join(LAYERS) + r')(?:/[\w.]+)+')
TEST = re.compile(r'test_\w+')
FILES = ('.py', '.toml', '.rst', '.txt', '.json', '.conf', '.md', '.yaml')
# Names of other programs, of Python, and of examples.
OTHERS = re.compile(
    r'.*foo.*|.*\.[ch]|fabric\.reset|multipath\.conf|iscsid\.conf|.*\.timeo\..*|volume\.read|node\..*'
)


def _names(page: pathlib.Path) -> Iterator[str]:
    yield from re.findall(r'(?<!`)``([^`\n]+)``', page.read_text())


def _members(body: list[ast.stmt]) -> dict[str, list[ast.stmt]]:
    """What a module or class defines: each name with its own body."""
    found: dict[str, list[ast.stmt]] = {}
    for node in body:
        if isinstance(node, ast.ClassDef):
            found[node.name] = node.body
        elif isinstance(node, ast.FunctionDef):
            found[node.name] = []
        elif isinstance(node, ast.Assign):
            found |= {each.id: [] for each in node.targets if isinstance(each, ast.Name)}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found[node.target.id] = []
    return found


MODULES = {
    path: _members(ast.parse(path.read_text()).body)
    for folder in ('os_brick', 'tests', 'tools/lib')
    for path in sorted((ROOT / folder).rglob('*.py'))
}
# A module may be named without its folders.
BASES = [ROOT, *sorted({path.parent for path in MODULES})]
STEMS = {path.stem for path in MODULES}
TESTS = {name for path, names in MODULES.items() for name in names if 'tests' in path.parts} | {
    name
    for path, names in MODULES.items()
    if 'tests' in path.parts
    for body in names.values()
    for name in _members(body)
}


def _is_there(place: str) -> bool:
    for base in (ROOT, ROOT / 'os_brick', ROOT / 'tests' / 'unit'):
        if (base / place).exists() or (base / f'{place}.py').exists():
            return True
    return False


def _has(module: pathlib.Path, parts: list[str]) -> bool:
    found = MODULES[module]
    for part in parts:
        if part not in found:
            return False
        found = _members(found[part])
    return True


def _missing(name: str) -> bool:
    """Whether a name looks like one of ours and is not there."""
    if OTHERS.fullmatch(name):
        return False
    if TEST.fullmatch(name):
        return name not in TESTS and name not in STEMS
    if PLACE.fullmatch(name) and not DOTTED.fullmatch(name):
        return not _is_there(name)
    if name.endswith(FILES):
        return '/' in name and bool(PLACE.fullmatch(name)) and not _is_there(name)
    if not DOTTED.fullmatch(name):
        return False
    parts = re.split(r'[/.]', name.rstrip('()'))
    modules = list(_modules(parts))
    if not modules:
        return '/' in name or parts[0] in LAYERS
    return not any(_has(module, rest) for module, rest in modules)


def _modules(parts: list[str]) -> Iterator[tuple[pathlib.Path, list[str]]]:
    """Each module that the first parts may name, with the parts that are names inside it."""
    for base in BASES:
        for number in range(1, len(parts) + 1):
            place = base.joinpath(*parts[:number])
            for path in (place.with_suffix('.py'), place / '__init__.py'):
                if path in MODULES:
                    yield path, parts[number:]


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_every_name_of_ours_exists(page: pathlib.Path) -> None:
    assert not sorted({name for name in _names(page) if _missing(name)})


# A row of modules of one folder: ``host``: krbd, ceph_conf
ROW = re.compile(r'^``([a-z_][a-z_/]+)``: ([a-z_]+(?:, [a-z_]+)*) ', re.MULTILINE)


def test_every_module_in_a_table_of_modules_exists() -> None:
    rows = [row for page in PAGES for row in ROW.findall(page.read_text())]
    assert len(rows) > 20
    named = {f'{folder}/{name}' for folder, names in rows for name in names.split(', ')}
    assert not sorted(name for name in named if not _is_there(name))


def test_the_page_has_every_kind_of_lock_in_the_order_in_which_they_are_taken() -> None:
    page = ROOT / 'doc/source/contributor/architecture.rst'
    assert _kinds(page.read_text().partition('\nLocks\n')[2]) == _kinds(locks.__doc__ or '')


def _kinds(text: str) -> list[str]:
    """The first words of the rows of the first table."""
    rows = re.split(r'^=[= ]+$', text, flags=re.MULTILINE)[2]
    return re.findall(r'^([a-z]+)', rows, re.MULTILINE)


@pytest.mark.parametrize(
    ('name', 'missing'),
    [
        ('core/locks', False),
        ('core/lokcs', True),
        ('wait.Deadline', False),
        ('wait.Deadline.within', False),
        ('wait.Deadlien', True),
        ('host/iscsi.Session', False),
        ('host/iscsi.Sessoin', True),
        ('core.files.use', False),
        ('core.files.sue', True),
        ('os_brick.privileged.default', False),
        ('tests/unit/test_layers.py', False),
        ('tests/unit/test_lairs.py', True),
        ('test_a_name_that_no_test_has', True),
        ('oslo_config.cfg.CONF', False),
        ('target_portal', False),
    ],
)
def test_the_rule_sees_what_it_forbids(name: str, missing: bool) -> None:
    assert _missing(name) is missing
