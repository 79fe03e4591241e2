# SPDX-License-Identifier: Apache-2.0
"""The pages as programs see them: literal blocks, inline literals, and our commands in both."""

from __future__ import annotations

from collections.abc import Iterator
import pathlib
import re
import textwrap

ROOT = pathlib.Path(__file__).parents[1]
DOC = ROOT / 'doc' / 'source'
USER = DOC / 'user'
ALL = (*sorted(DOC.rglob('*.rst')), ROOT / 'README.rst', ROOT / 'CONTRIBUTING.rst')

_BEGIN = re.compile(r'^(?P<indent> *)(?:\.\. code-block::.*|(?!\.\. ).*::)$')
_LITERAL = re.compile(r'(?<!`)``([^`]+)``')
# What begins a command in the midst of a line: a prompt, a pipe, a comment's remark, a quote.
_COMMAND = re.compile(
    r"(?:^|^[$#] |[|;] (?:if )?|: if |'|=/usr/bin/)os-brick(?P<words> [^|;>#'\n]+)", re.MULTILINE
)


def blocks(text: str) -> Iterator[str]:
    """Yield each literal block of a page, without its indentation."""
    lines = iter(text.splitlines())
    line: str | None = next(lines, None)
    while line is not None:
        begin, line = _BEGIN.match(line), next(lines, None)
        if not begin:
            continue
        inside = []
        while line is not None and (not line.strip() or _depth(line) > len(begin['indent'])):
            inside.append(line)
            line = next(lines, None)
        yield textwrap.dedent('\n'.join(inside)).strip('\n')


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())


def literals(text: str) -> list[str]:
    """Return what is between double backquotes; one that goes over a line's end is joined."""
    return [' '.join(found.split()) for found in _LITERAL.findall(text)]


def own_commands(text: str) -> list[str]:
    """Return the words after ``os-brick`` of each command line of ours on a page."""
    return [
        re.split(r' {3,}', match['words'].strip())[0]
        for part in (*blocks(text), *literals(text))
        for match in _COMMAND.finditer(part)
        if not match['words'].strip()[:1].isdigit()  # "os-brick 7" is the one of OpenStack.
    ]
