# SPDX-License-Identifier: Apache-2.0
"""Plans as they are printed: what is there, what would be done, what could happen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
import dataclasses
from typing import Any

from os_brick.cmd.output import Console, Table

# Of a step or a plan, what has a place of its own.
_APART = {'verb', 'else'}
_LISTS = {'now', 'steps', 'could'}


@dataclasses.dataclass(frozen=True, slots=True)
class Text:
    """The plans of one change.

    :ivar known: their ID.
    :ivar plans: in plain values, as ``plans.steps.Plan.as_dict`` has them.
    :ivar given: the options with which they are made.
    """

    name: str
    known: str
    plans: Sequence[Mapping[str, Any]]
    given: Sequence[str]

    def table(self) -> Table:
        """A row for each step."""
        return Table(('step', 'verb', 'object', 'else'), list(self._rows()))

    @property
    def _what(self) -> str:
        """The volume, in words."""
        every = (pair for plan in self.plans for pair in plan.items())
        return next((str(value) for key, value in every if key not in _LISTS), '')

    def _rows(self) -> Iterator[tuple[int, str, str, str]]:
        every = (step for plan in self.plans for step in plan['steps'])
        for number, step in enumerate(every, 1):
            yield number, step['verb'], _words(step, self._what), step.get('else', '')

    def lines(self, console: Console) -> str:
        """What is printed on a terminal."""
        return '\n'.join(map(console.plain, self._lines()))

    def _lines(self) -> Iterator[str]:
        yield f'{self.name} of {self._what}' if self._what else self.name
        yield from self._list('now')
        rows = list(self._rows())
        for number, verb, words, back in rows:
            line = f'would {number:3}  {verb:24} {words}'.rstrip()
            yield f'{line}   else: {back}' if back else line
        if not rows:
            yield 'would      nothing'
        yield from self._list('could')
        if self.given:
            yield f'with       {", ".join(self.given)}'
        yield (
            f'plan {self.known}   '
            f'(the same command with --apply {self.known} in the place of --plan)'
        )

    def _list(self, name: str) -> Iterator[str]:
        for plan in self.plans:
            yield from (f'{name:10} {line}' for line in plan.get(name, ()))


def _words(step: Mapping[str, Any], what: str) -> str:
    """A step without its verb; the volume is in the heading, and not told with each path."""
    rest = {name: value for name, value in step.items() if name not in _APART}
    if isinstance(rest.get('path'), str):
        rest['path'] = rest['path'].removeprefix(f'{what} at ')
    return ' '.join(f'{name}={_word(value)}' for name, value in rest.items())


def _word(value: Any) -> str:
    if isinstance(value, list):
        return ','.join(map(_word, value))
    if isinstance(value, Mapping):
        return str(value.get('name', value))
    return str(value)
