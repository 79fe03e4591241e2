# SPDX-License-Identifier: Apache-2.0
"""The steps of a removal, and what becomes of the errors of those that fail."""

from __future__ import annotations

from collections.abc import Callable
import dataclasses
import enum

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import observe, wait

LOG = logging.getLogger(__name__)

# What a flush may leave of the deadline for the removal that follows it.
REMOVAL_RESERVE_SECONDS = 20.0


def flush_limit(deadline: wait.Deadline, force: bool) -> float:
    """How long a flush may take in seconds, so that the removal after it has its time, too."""
    left = deadline.remaining
    return max(1.0, left / 3 if force else left - REMOVAL_RESERVE_SECONDS)


class OnError(enum.Enum):
    """What a failed step means for the rest of a removal."""

    RAISE = 'raise it at once'
    FINISH = 'finish, then raise'
    IGNORE = 'finish, and only warn'

    @classmethod
    def of(cls, force: bool, ignore_errors: bool) -> OnError:
        """What the two flags of ``disconnect_volume`` mean together."""
        if not force:
            return cls.RAISE
        return cls.IGNORE if ignore_errors else cls.FINISH

    @property
    def is_forced(self) -> bool:
        """Whether cleaning up goes before keeping data."""
        return self is not OnError.RAISE


# Steps after which the host is as it was before, by the first word of what they are called.
_HARMLESS = ('refuse', 'check', 'ask', 'flush')


class Teardown:
    """The steps of one removal, and the errors of those that failed.

    :ivar has_acted: whether a step has begun after which the host may not be as before.
    """

    def __init__(self, on_error: OnError) -> None:
        self.on_error = on_error
        self.has_acted = False
        self._errors = exception.ExceptionChainer()

    def run(self, what: object, step: Callable[[], object]) -> bool:
        """Run one step; return whether it succeeded.

        :param what: a step of a plan, whose verb it is told by, or the step as a noun, for the log:
            ``flush of sda``.
        :raises Exception: what it raised, unless the removal goes on after errors.
        """
        name, thing = _named(what)
        self.has_acted = self.has_acted or name.partition(' ')[0] not in _HARMLESS

        def told() -> None:
            with observe.step(name, thing):
                step()

        return self.guard(what, told)

    def guard(self, what: object, step: Callable[[], object]) -> bool:
        """Run several steps as one that is not told of; as :meth:`run` otherwise."""
        succeeded = False
        name = what if isinstance(what, str) else _InWords(what)
        with self._errors.context(self.on_error.is_forced, 'Detach: the %s failed', name):
            step()
            succeeded = True
        return succeeded  # noqa: RET504 the context may swallow an error

    @property
    def problem(self) -> exception.ExceptionChainer | None:
        """What has failed so far."""
        return self._errors if self._errors else None

    def end(self) -> None:
        """Raise what was collected, unless it is to be ignored.

        :raises ExceptionChainer: with all of it.
        """
        if not self._errors:
            return
        if self.on_error is OnError.IGNORE:
            LOG.warning('The detach went on after errors, which are ignored: %s', self._errors)
            return
        raise self._errors


@dataclasses.dataclass(frozen=True, slots=True)
class _InWords:
    """A step of a plan whose text is made only where it is told: that takes a hundred calls.

    :ivar verb: what is left out of it.
    """

    step: object
    verb: str = ''

    def __str__(self) -> str:
        if not self.verb:
            return f'step {self.step}'
        return str(self.step).removeprefix(self.verb).strip()


def _named(what: object) -> tuple[str, object]:
    """The verb of a step, and what it is done with."""
    verb = getattr(what, 'verb', None)
    if verb is not None:
        return str(verb), _InWords(what, str(verb))
    name, _, thing = str(what).partition(' ')
    return name, thing.removeprefix('of ')


class Raising:
    """Steps of which the first that fails ends the removal."""

    def run(self, what: object, step: Callable[[], object]) -> bool:
        """Run one step; return that it succeeded."""
        with observe.step(*_named(what)):
            step()
        return True


RAISING = Raising()
