# SPDX-License-Identifier: Apache-2.0
"""Open paths together with what takes them back, and the taking back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
import dataclasses
import threading
from typing import Generic, TypeVar

from os_brick import exception
from os_brick.core import fanout, undo, wait
from os_brick.paths.driver import Assembly

P = TypeVar('P')
O = TypeVar('O')  # noqa: E741 an open path


@dataclasses.dataclass(frozen=True, slots=True)
class Held(Generic[O]):
    """An open path, and what takes it back: a value that can be handed over."""

    opened: O
    made: undo.Undo


def steps(assembly: Assembly[O], held: Sequence[Held[O]], seconds: float) -> list[undo.Data]:
    """The steps that take paths back, first made first."""
    opened = [each.opened for each in held]
    return [
        *(step.as_dict() for step in assembly.after(opened)),
        *(step for each in held for step in each.made.steps()),
        *(step.as_dict() for step in assembly.before(opened, seconds)),
    ]


def close(assembly: Assembly[O], held: Sequence[Held[O]], deadline: wait.Deadline) -> None:
    """Take paths back, side by side.

    An interrupt comes out at the end: no one else would take back what it has kept from its turn.

    :raises BrickException: naming what could not be taken back.
    :raises BaseException: the last interrupt that came meanwhile.
    """
    opened = [each.opened for each in held]
    before, after = undo.Undo(), undo.Undo()
    for step in assembly.before(opened, deadline.limit()):
        before.add_step(step)
    for step in assembly.after(opened):
        after.add_step(step)

    def side_by_side() -> None:
        fanout.fanout(lambda number: held[number].made.take_back(), range(len(held)))

    course = undo.Undo()
    course.adopt(after)
    for each in held:  # What has been taken back already is in none of them any more.
        course.adopt(each.made)
    course.add_local(side_by_side)
    course.adopt(before)
    course.take_back()
    every = (before, *(each.made for each in held), after)
    failures = [text for each in every for text in each.failures]
    if failures:
        raise exception.BrickException('; '.join(failures))


def close_of(
    known: dict[P, Held[O]],
    paths: Iterable[P],
    guard: threading.Condition,
    assembly: Assembly[O],
    deadline: wait.Deadline,
) -> None:
    """Take some of the open paths back that are known; each is known until that has been done.

    So a second try after an interrupt finds them.

    :param guard: what ``known`` is read and written under.
    :raises BrickException: naming what could not be taken back.
    """
    failure: Exception | None = None
    with guard:
        held = [known[path] for path in paths if path in known]
    try:
        if held:
            close(assembly, held, deadline)
    except Exception as error:  # noqa: BLE001 raised below
        failure = error
    with guard:
        for path in paths:
            known.pop(path, None)
    if failure is not None:
        raise failure
