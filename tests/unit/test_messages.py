# SPDX-License-Identifier: Apache-2.0
"""The texts of errors and of the log, read from the source: they fit, and say nothing private."""

import ast
from collections.abc import Iterator
import io
import pathlib
import re
import tokenize
import typing

import pytest

from os_brick import exception

ROOT = pathlib.Path(__file__).parents[2]
TREES = {
    str(path.relative_to(ROOT)): ast.parse(path.read_text())
    for path in sorted((ROOT / 'os_brick').rglob('*.py'))
}
KINDS = {
    name: kind
    for name, kind in vars(exception).items()
    if isinstance(kind, type) and issubclass(kind, exception.BrickException)
}
LOGS = {f'LOG.{level}' for level in ('info', 'warning', 'error', 'critical', 'exception')}

# Words of earlier states of this code that must not come back; the glossary has those in use.
RETIRED = (
    r'(?<!under[ _])ways?|legs?|brought|strangers?|silent|nobody|somebody|whoever|heard|readmit\w*'
    r'|he|him|his'
)
# What only this code, or an earlier state of it, calls a thing: no operator can look it up.
PRIVATE = re.compile(
    rf'\b({RETIRED}|let go|who it is|says?|said|sights?)\b'
    r'|(?<![\w/-])_[a-z]\w+|(?<!there )\bis no\b',
    re.IGNORECASE,
)
RETIRED_IN_PROSE = re.compile(
    rf'\b({RETIRED})\b|(?<!there )\bis no\b(?! (more|longer|one))', re.IGNORECASE
)
RETIRED_NAMES = re.compile(
    rf'(^|_)({RETIRED}|sight|opening)(_|$)|^(Way|Leg|Sight|Machine|Brought|Target|Identity)$'
)
OUR_CLASSES = {
    node.name
    for tree in TREES.values()
    for node in ast.walk(tree)
    if isinstance(node, ast.ClassDef)
} - set(vars(exception))
# Words of the language, or of storage, that a class of ours has for a name, too.
WORDS = {
    'LUKS',
    'VMDK',
    *('Answer', 'Channel', 'Client', 'Request', 'Server'),
    'RBD',
    *(
        'Array',
        'Controller',
        'Device',
        'Disk',
        'Identity',
        'Image',
        'Map',
        'Namespace',
        'Path',
        'Portal',
    ),
    *(
        'Session',
        'Target',
        'Unit',
        'Volume',
        'Member',
        'Host',
        'Port',
        'Platform',
        'Mirror',
        'State',
    ),
    *(
        'Settings',
        'NVMe',
        'LightOS',
        'StorPool',
        'LVM',
        'Local',
        'Found',
        'Record',
        'Address',
        'Protocol',
        'SCSI',
    ),
}


class Place(typing.NamedTuple):
    where: str
    call: ast.Call


def _calls(wanted) -> Iterator[Place]:
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and wanted(ast.unparse(node.func)):
                yield Place(f'{path}:{node.lineno}', node)


ERRORS = list(_calls(lambda name: name.removeprefix('exception.') in KINDS))
LOGGED = list(_calls(LOGS.__contains__))


def _texts(call: ast.Call) -> Iterator[str]:
    """The literal words of a call's arguments, what is put in between as ``{}``."""
    inside: set[int] = set()
    for argument in [*call.args, *(keyword.value for keyword in call.keywords)]:
        for node in ast.walk(argument):
            if isinstance(node, ast.JoinedStr):
                parts = [
                    part.value if isinstance(part, ast.Constant) else '{}' for part in node.values
                ]
                inside |= {id(part) for part in ast.walk(node)}
                yield ''.join(map(str, parts))
            elif isinstance(node, ast.Constant) and id(node) not in inside:
                yield str(node.value) if isinstance(node.value, str) else ''


def test_there_is_something_to_look_at() -> None:
    assert len(ERRORS) > 80
    assert len(LOGGED) > 40


@pytest.mark.parametrize('place', ERRORS, ids=lambda place: place.where)
def test_what_is_given_fits_the_template(place: Place) -> None:
    """Each keyword is a fact of the class; without a text of its own there is every field."""
    kind = KINDS[ast.unparse(place.call.func).removeprefix('exception.')]
    given = {str(keyword.arg) for keyword in place.call.keywords}
    assert given <= set(kind.facts), place.where
    if not place.call.args and kind is not exception.ExceptionChainer:
        fields = set(re.findall(r'%\((\w+)\)', kind.message))
        assert fields <= given, place.where
        text = str(kind(**{name: f'<{name}>' for name in given}))
        assert '%(' not in text
        assert text[0].isupper() or text.startswith(('<', 'multipathd'))


@pytest.mark.parametrize('place', [*ERRORS, *LOGGED], ids=lambda place: place.where)
def test_no_text_contains_what_only_this_code_knows(place: Place) -> None:
    for text in _texts(place.call):
        found = PRIVATE.search(text)
        assert not found, f'{place.where}: {found and found[0]!r} in {text!r}'
        words = set(re.findall(r'\b[A-Z]\w+\b', text))
        assert not words & (OUR_CLASSES - WORDS), f'{place.where}: {text!r}'


@pytest.mark.parametrize('place', LOGGED, ids=lambda place: place.where)
def test_a_log_line_names_its_object(place: Place) -> None:
    """It has at least one thing put in, or is a sentence about the host as a whole."""
    text = next(_texts(place.call), '')
    whole = ('multipath', 'process', 'went on', 'disconnect')
    assert len(place.call.args) > 1 or any(word in text.lower() for word in whole), place.where


@pytest.mark.parametrize('name', sorted(KINDS))
def test_templates_say_nothing_private(name: str) -> None:
    kind = KINDS[name]
    assert not PRIVATE.search(kind.message + ''.join(kind.also.values()))


def _prose(path: pathlib.Path) -> Iterator[tuple[int, str]]:
    """The comments and docstrings of a file, with their lines."""
    source = path.read_text()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            yield getattr(node, 'lineno', 1), ast.get_docstring(node) or ''
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


@pytest.mark.parametrize('name', sorted(TREES))
def test_no_retired_word_comes_back(name: str) -> None:
    """Neither in a comment or a docstring nor in a name that we give."""
    found = [
        f'{line}: {match[0]!r} in {text!r}'
        for line, text in _prose(ROOT / name)
        if (match := RETIRED_IN_PROSE.search(' '.join(text.split())))
    ]
    given = {
        part.arg
        if isinstance(part, ast.arg)
        else part.id
        if isinstance(part, ast.Name)
        else part.name
        for part in ast.walk(TREES[name])
        if isinstance(part, ast.arg | ast.Name | ast.ClassDef | ast.FunctionDef)
    }
    assert not [*found, *sorted(word for word in given if RETIRED_NAMES.search(word))]


# Words that stay away from tests and tools, too, where others of the list are plain English.
RETIRED_IN_TESTS = re.compile(
    r'(?<![a-z])(nobody|somebody|whoever|strangers?|readmit\w*|his|him)(?![a-z])', re.IGNORECASE
)
SAMPLES = ('test_messages.py', 'test_discovery.py', 'test_leftovers.py', 'record.py', 'oracle.py')


def test_nor_does_one_in_tests_and_tools() -> None:
    """In names of tests, in their comments and docstrings; values may be called as they like."""
    found = []
    for path in sorted(each for top in ('tests', 'tools') for each in (ROOT / top).rglob('*.py')):
        if path.name in SAMPLES:
            continue
        texts = [text for _, text in _prose(path)]
        texts += re.findall(r'^\s*(?:def|class) (\w+)', path.read_text(), re.MULTILINE)
        found += [f'{path.name}: {m[0]}' for text in texts if (m := RETIRED_IN_TESTS.search(text))]
    assert not found


@pytest.mark.parametrize(
    ('text', 'is_retired'),
    [
        ('every way to the volume', True),
        ('an attach that is under way', False),
        ('whether nobody has it', True),
        ('this is no disk', True),
        ('there is no disk', False),
        ('it is no longer there', False),
        ('always', False),
    ],
)
def test_the_rule_sees_what_is_retired(text: str, is_retired: bool) -> None:
    assert bool(RETIRED_IN_PROSE.search(text)) is is_retired
