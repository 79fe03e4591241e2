# SPDX-License-Identifier: Apache-2.0
"""The findings as reStructuredText, for the page of the manual; held to the catalogue by a test."""

from __future__ import annotations

from collections.abc import Iterator
import re

from os_brick.doctor import catalogue

_WORDS = re.compile(r'\{\{|\}\}|\{(\w+)\}')


def text() -> Iterator[str]:
    """The page's part about the findings, as reStructuredText."""
    yield from ('.. list-table::', '   :header-rows: 1', '   :widths: 8 8 26 58', '')
    yield from _row('harm', 'level', 'finding', 'what holds on a host that is well')
    for entry in catalogue.entries().values():
        name = f':ref:`{entry.id} <finding-{entry.id}>`'
        yield from _row(entry.harm, entry.level, name, entry.rule)
    yield ''
    for entry in catalogue.entries().values():
        yield from ('', f'.. _finding-{entry.id}:', '', f'.. rubric:: {entry.id}', '')
        harm, level = catalogue.HARMS[entry.harm], catalogue.LEVELS[entry.level]
        yield from (f'*{level}*; {harm}.', '')
        for line in (entry.text, entry.why):
            yield f'| {_escaped(line)}'
        for repair in (entry.repair, *entry.repairs.values()):
            yield f'| → ``{plain(repair)}``'
        values = ', '.join(f'{name} {number:g}' for name, number in entry.values.items())
        yield ''
        yield f':reads: {_escaped(entry.reads)}'
        yield f':source: {_escaped(entry.source)}'
        if values:
            yield f':values: {values}'
        yield f':since: {entry.since}'
        yield ''


def _row(*cells: str) -> Iterator[str]:
    for number, cell in enumerate(cells):
        yield f'   {"* -" if number == 0 else "  -"} {cell}'


def plain(words: str) -> str:
    """A text with its words in capitals, as they are filled in by a case."""
    return _WORDS.sub(lambda m: m[1].upper() if m[1] else m[0][0], words)


def _escaped(words: str) -> str:
    return re.sub(r'([*`|_\\])', r'\\\1', plain(words))
