# SPDX-License-Identifier: Apache-2.0
"""A plan: named steps with plain arguments, which can be printed, written down and run."""

from __future__ import annotations

import dataclasses
import enum
from typing import Any, Generic, Protocol, TypeVar


class Step(Protocol):
    """One act, which can be written down and, as a text, is a line."""

    @property
    def verb(self) -> enum.StrEnum:
        """What is done."""

    def as_dict(self) -> dict[str, Any]:
        """The step in plain values."""


S = TypeVar('S', bound=Step)


@dataclasses.dataclass(frozen=True, slots=True)
class Plan(Generic[S]):
    """The steps of an operation in their order.

    :ivar kind: which operation, such as ``growth``.
    :ivar what: the volume, in words.
    :ivar now: what there is, in words for who reads the plan before it is run; ``could``: what may
        happen else than the steps.
    """

    kind: str
    what: str
    steps: tuple[S, ...]
    now: tuple[str, ...] = ()
    could: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The plan in plain values; its form is stable."""
        found = {
            f'{self.kind} of': self.what,
            'now': list(self.now),
            'steps': [step.as_dict() for step in self.steps],
            'could': list(self.could),
        }
        return {name: each for name, each in found.items() if each or name not in ('now', 'could')}

    def __str__(self) -> str:
        heading = f'{self.kind.capitalize()} of {self.what}:'
        return '\n'.join([heading, *(f'  {step}' for step in self.steps)])


class FieldsStep:
    """What shows a step by its fields: the base of dataclasses whose fields are plain values."""

    __slots__ = ()

    @property
    def taken_back_by(self) -> str:
        """What takes the step back if the operation fails, in words; empty for none."""
        return ''

    def as_dict(self) -> dict[str, Any]:
        """The step in plain values, without what is empty; LUN 0 is not."""
        back = {'else': self.taken_back_by} if self.taken_back_by else {}
        return self._fields() | back

    def _fields(self) -> dict[str, Any]:
        fields: Any = dataclasses.fields(self)  # type: ignore[arg-type]
        found = {each.name: _plain(getattr(self, each.name)) for each in fields}
        return {name: value for name, value in found.items() if value not in ('', None, [])}

    def __str__(self) -> str:
        """One line, such as ``scan address=4:0:0:1``."""
        found = self._fields()
        rest = [f'{name}={_text(value)}' for name, value in found.items() if name != 'verb']
        return ' '.join([found['verb'], *rest])


def _plain(value: Any) -> Any:
    if isinstance(value, enum.Enum):
        return value.value
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


def _text(value: Any) -> str:
    if not isinstance(value, list):
        return str(value)
    return ', '.join('/'.join(map(str, each)) if isinstance(each, list) else each for each in value)
