# SPDX-License-Identifier: Apache-2.0
"""What an error of this library means: from its own docstring, by its name or in a text with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
import dataclasses
import functools
import inspect
import re

from os_brick import exception
from os_brick.core import trace
from os_brick.doctor import catalogue

# Of a text so many lines are looked at, the last ones.
_MOST_LINES = 20_000
_LONGEST_LINE = 4096
# A template with fewer letters of its own would be found in anything.
_LEAST_LETTERS = 14
_HOLE = re.compile(r'%\(\w+\)[sdr]|%%')
_FACT = re.compile(r':ivar (\w+):\s*(.*?)(?=\n\s*:|\Z)', re.DOTALL)


@dataclasses.dataclass(frozen=True, slots=True)
class Meaning:
    """What there is to be said of a class of errors.

    :ivar code: its name in the words of the command line, such as ``login-refused``.
    :ivar text: of its docstring, without the facts, which ``facts`` has with their meanings.
    :ivar findings: those of the doctor that may be behind it.
    """

    name: str
    code: str
    bases: tuple[str, ...]
    text: str
    facts: Mapping[str, str]
    message: str
    findings: tuple[str, ...]


@functools.cache
def classes() -> Mapping[str, type[Exception]]:
    """The errors that this library raises, by their names."""
    return {
        name: kind
        for name, kind in vars(exception).items()
        if inspect.isclass(kind) and issubclass(kind, Exception)
    }


def code(name: str) -> str:
    """A class's name in the words of the command line: ``LoginRefused`` is ``login-refused``."""
    return re.sub(r'(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])', '-', name).lower()


def named(text: str) -> str | None:
    """The name of the class that a word means: a name, with its module or without, or a code."""
    wanted = text.rpartition('.')[2]
    for name in classes():
        if wanted.lower() in (name.lower(), code(name)):
            return name
    return None


def meaning(name: str) -> Meaning:
    """What there is to be said of one class."""
    kind = classes()[name]
    doc = inspect.cleandoc(kind.__doc__ or '')
    known = classes()
    return Meaning(
        name,
        code(name),
        tuple(each.__name__ for each in kind.__mro__[1:] if each.__name__ in known),
        doc.partition('\n:')[0].replace('``', '').strip(),
        {fact: ' '.join(words.split()) for fact, words in _FACT.findall(doc)},
        str(getattr(kind, 'message', '')),
        tuple(each.id for each in catalogue.entries().values() if name in each.errors),
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Occurrence:
    """An error in a text.

    :ivar message: what stands there, without secrets.
    :ivar count: how often it is there with this message or another.
    """

    name: str
    message: str
    count: int = 1


def occurrences(text: str) -> list[Occurrence]:
    """The errors in a traceback or in lines of a log, the last one first."""
    found: dict[str, Occurrence] = {}
    for line in text.splitlines()[-_MOST_LINES:]:
        for name, message in _in_line(line[:_LONGEST_LINE]):
            before = found.pop(name, None)  # Put again at the end.
            shown = trace.one_line(str(trace.masked(message)))
            found[name] = Occurrence(name, shown, before.count + 1 if before else 1)
    return list(reversed(found.values()))


def _in_line(line: str) -> Iterator[tuple[str, str]]:
    named_ones = list(_by_name().finditer(line))
    for match in named_ones:
        yield match[1], line[match.end() :].lstrip(': ')
    if not named_ones:
        for name, pieces in _templates():
            if all(piece in line for piece in pieces):
                yield name, line[line.index(pieces[0]) :]
                return


@functools.cache
def _by_name() -> re.Pattern[str]:
    # The base is in every traceback's import; it says nothing.
    names = sorted(set(classes()) - {'BrickException'}, key=len, reverse=True)
    return re.compile(rf'(?<![\w`])({"|".join(names)})\b(?!\()')


@functools.cache
def _templates() -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The names of errors with the parts of their messages that are always the same."""
    found = []
    for name, kind in classes().items():
        parts = [part.strip() for part in _HOLE.split(str(getattr(kind, 'message', '')))]
        pieces = tuple(part for part in parts if len(part) > 2)
        if sum(map(len, pieces)) >= _LEAST_LETTERS:
            found.append((name, pieces))
    # The longest first: a message may contain another one's words.
    return tuple(sorted(found, key=lambda each: -sum(map(len, each[1]))))
