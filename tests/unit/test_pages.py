# SPDX-License-Identifier: Apache-2.0
"""Pages that list what is in the code list all of it, and nothing else."""

import ast
import importlib
import inspect
import pathlib
import re
import textwrap

import pytest

from os_brick import exception
from os_brick.initiator import properties, registry
from tests import pages

ROOT = pathlib.Path(__file__).parents[2]
USER = ROOT / 'doc' / 'source' / 'user'


LOGS = {f'LOG.{level}' for level in ('warning', 'error', 'critical', 'exception')}
# What they log is about one protocol, or for callers, and on a page of its own.
OWN_PAGES = re.compile(
    r'caches/|encryptors/|exception/|local_dev/|remotefs/|utils\.py|core/observe|initiator/(?!connector)'
    r'|host/(huawei|krbd|lightos|luks|lvm|rbd)|privileged/rootwrap'
    r'|connectors/(base_rbd|huawei|lightos|rbd|remotefs|scaleio|storpool|vmware)'
)


def _lines() -> dict[str, str]:
    """Each line of the log at WARNING or above, with what is put in as ``…``: its module."""
    found = {}
    for path in sorted((ROOT / 'os_brick').rglob('*.py')):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and ast.unparse(node.func) in LOGS):
                continue
            if isinstance(node.args[0], ast.Constant):
                text = re.sub(r'%[.\d]*[sdfr]', '…', str(node.args[0].value))
                found[text] = path.relative_to(ROOT / 'os_brick').as_posix()
    return found


LOGGED = _lines()
TROUBLE = (USER / 'troubleshooting.rst').read_text()
TERMS = [
    term
    for line in re.findall(r'^(``.*``)$', TROUBLE.partition('By log line')[2], re.MULTILINE)
    for term in pages.literals(line)
]


def _of_line(term: str) -> re.Pattern[str]:
    """What a term stands for: it may be cut at its end, where the page has ``…``."""
    return re.compile(re.escape(term.removesuffix('…')))


@pytest.mark.parametrize('term', TERMS)
def test_a_log_line_that_is_explained_is_one_that_is_written(term: str) -> None:
    assert [line for line in LOGGED if _of_line(term).match(line)]


@pytest.mark.parametrize('line', sorted(LOGGED))
def test_a_log_line_that_is_written_is_explained(line: str) -> None:
    """Where an operator looks: on this page, unless it is about one protocol alone."""
    if not OWN_PAGES.search(LOGGED[line]) and line != '…':
        assert [term for term in TERMS if _of_line(term).match(line)], LOGGED[line]


def test_lines_were_found() -> None:
    assert len(LOGGED) > 100
    assert len(TERMS) > 50
    assert not _of_line('Multipath is wanted and no one answers').match(TERMS[0])


def test_every_protocol_is_in_the_matrix() -> None:
    page = (USER / 'support-matrix.rst').read_text()
    rows = re.findall(r'^   \* - ([A-Z_, ]+)$', page, re.MULTILINE)
    named = [name for row in rows for name in row.split(', ')]
    assert sorted(named) == sorted(registry.PROTOCOLS)


def _matrix() -> dict[str, list[str]]:
    """Of each protocol the cells: attach, extend, multipath, encryptor, tested with."""
    page = (USER / 'support-matrix.rst').read_text()
    rows = re.findall(r'^   \* - ([A-Z_, ]+)\n((?:     - .*\n)+)', page, re.MULTILINE)
    return {
        name: re.findall(r'- (.*)', cells) for names, cells in rows for name in names.split(', ')
    }


@pytest.mark.parametrize('protocol', registry.PROTOCOLS)
def test_what_cannot_be_extended_is_in_the_matrix(protocol: str) -> None:
    """An ``extend_volume`` that only raises ``NotImplementedError`` is a "no", and nothing else."""
    module, _dot, name = registry.on('x86_64')[protocol].rpartition('.')
    extend = getattr(importlib.import_module(module), name).extend_volume
    body = ast.parse(textwrap.dedent(inspect.getsource(extend))).body[0]
    assert isinstance(body, ast.FunctionDef)
    last = body.body[-1]
    does_nothing = isinstance(last, ast.Raise) and 'NotImplementedError' in ast.unparse(last)
    assert _matrix()[protocol][1] == ('no' if does_nothing else 'yes')


def test_platforms_are_those_of_the_registry() -> None:
    page = ' '.join((USER / 'support-matrix.rst').read_text().split())
    z, power = re.findall(r'IBM Z has ([A-Z_, and]+); POWER those, ([A-Z, and]+)', page)[0]
    assert set(re.findall('[A-Z_]{2,}', z)) == set(registry.on('s390x'))
    assert set(re.findall('[A-Z_]{2,}', f'{z} {power}')) == set(registry.on('ppc64le'))


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


def test_the_classes_of_errors_are_as_the_page_has_them() -> None:
    text = (USER / 'service-developers.rst').read_text().partition('\nErrors\n')[2]
    table = text.partition('All are kinds of')[0]
    named = set(re.findall(r'``([A-Z]\w+)``', table)) & set(vars(exception))
    others = {
        name for name in named if not issubclass(vars(exception)[name], exception.BrickException)
    }
    assert others == {'InvalidConnectorProtocol'}
    assert issubclass(exception.InvalidConnectorProtocol, ValueError)
    first = re.findall(r'``(\w+)``\s+before\s+``(\w+)``', text)
    kinds = {
        (one, other)
        for one in named
        for other in named - {one, 'BrickException', *others}
        if issubclass(vars(exception)[one], vars(exception)[other])
    }
    assert set(first) == {(one, other) for one, other in kinds if one not in others}


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


NOT_ENGLISH = re.compile(
    r'\b(nobody|somebody|whoever|no one|someone|strangers?|readmit\w*|legs?|he|him|his|ways that)'
    r'\b',
    re.IGNORECASE,
)


@pytest.mark.parametrize('page', sorted(USER.glob('*.rst')), ids=lambda page: page.stem)
def test_a_page_names_who_acts(page: pathlib.Path) -> None:
    """A device, a caller, an array or a process; and no word of an earlier state of this code."""
    text = page.read_text()
    assert not sorted({match[0] for match in NOT_ENGLISH.finditer(text)})
