# SPDX-License-Identifier: Apache-2.0
"""The one stack of steps that take back what a failing operation has done.

A step is a named verb with plain arguments, so that the steps of an operation can be listed
(:meth:`Undo.steps`), written down, and run by another process (:func:`replay`)::

    @undo.verb
    def delete_disk(address: str, seconds: float) -> None: ...

    op.undo.add(delete_disk, '2:0:0:1', 20.0)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
import contextlib
import dataclasses
import errno
import importlib
import re
import threading
from types import TracebackType
from typing import Any, Generic, ParamSpec, Protocol, TypeVar

from oslo_log import log as logging

LOG = logging.getLogger(__name__)
P = ParamSpec('P')
T = TypeVar('T')
Data = dict[str, Any]

_PACKAGE = 'os_brick'
_NAME = re.compile(r'(?P<module>[a-z0-9_]+(?:\.[a-z0-9_]+)*)\.[a-z0-9_]+')


@dataclasses.dataclass(frozen=True, slots=True)
class Verb(Generic[P, T]):
    """A function under a name that another process finds it by; it is called as before."""

    name: str
    function: Callable[P, T]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> T:
        return self.function(*args, **kwargs)


_verbs: dict[str, Verb[..., Any]] = {}


def verb(function: Callable[P, T]) -> Verb[P, T]:
    """Register a function as a verb, by its module and name; its arguments have to be plain."""
    name = f'{function.__module__.removeprefix(f"{_PACKAGE}.")}.{function.__name__}'
    found = Verb(name, function)
    _verbs[name] = found
    return found


def verbs() -> frozenset[str]:
    """The names of all verbs that are registered."""
    return frozenset(_verbs)


def _verb_of(name: str) -> Verb[..., Any]:
    """The verb of a name; its module is imported, if it is one of this package.

    :raises KeyError: if there is none.
    """
    known = _NAME.fullmatch(name)
    if name not in _verbs and known:
        with contextlib.suppress(ImportError):
            importlib.import_module(f'{_PACKAGE}.{known["module"]}')
    return _verbs[name]


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """One step: a verb, or what only this process can call, and its arguments.

    :raises TypeError: if an argument of a verb is not plain.
    """

    function: Callable[..., object]
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.function, Verb):
            for value in (*self.args, *self.kwargs.values()):
                _require_plain(self.name, value)

    @property
    def name(self) -> str:
        """The verb's name; of a function that is not a verb its own."""
        if isinstance(self.function, Verb):
            return self.function.name
        return getattr(self.function, '__name__', repr(self.function))

    def as_dict(self) -> Data:
        """The step as JSON has it."""
        return {'verb': self.name, 'args': list(self.args), 'kwargs': dict(self.kwargs)}

    def run(self) -> None:
        """Run it."""
        self.function(*self.args, **self.kwargs)


def plain(value: object) -> Any:
    """A value as the arguments of a verb have it: a frozen one with fields is a dictionary.

    :func:`dataclasses.asdict` copies each text as well.
    """
    fields = getattr(value, '__dataclass_fields__', ())
    return {name: plain(getattr(value, name)) for name in fields} if fields else value


def _require_plain(name: str, value: object) -> None:
    if value is None or isinstance(value, (str, int, float)):
        return
    if isinstance(value, Mapping):
        for key, each in value.items():
            if not isinstance(key, str):
                raise TypeError(f'{name}: the key {key!r} is not a string')
            _require_plain(name, each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            _require_plain(name, each)
    else:
        raise TypeError(f'{name}: the argument {value!r} is not plain')


class Reversible(Protocol):
    """Something that takes itself back, such as the paths of an attach."""

    def take_back(self) -> None:
        """Take it back; what fails is raised at the end."""

    def steps(self) -> list[Data]:
        """The steps that take it back, first made first."""


class Undo:
    """Steps that are run, last first, when the block ends in an error; else dropped.

    A step that fails is logged and noted on the error that started it, which stays the one
    that surfaces. Steps must look before they act and take back only what this operation did.
    Threads of an operation may add steps side by side; a step that is added after the others
    have been run is run at once, because nothing else would ever run it.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        # Held by who runs the steps: one thread at a time, as each step relies on those after it.
        self._running = threading.RLock()
        self._todo: list[Step | Reversible] = []
        self._has_run = False
        # By identity; kept, so that no other step gets the number of one.
        self._repeated: dict[int, Step | Reversible] = {}
        self.failures: list[str] = []

    def add(self, step: Verb[P, Any], *args: P.args, **kwargs: P.kwargs) -> None:
        """Remember one step for the case of an error.

        :raises TypeError: if it is not a verb, or an argument is not plain.
        """
        if not isinstance(step, Verb):
            raise TypeError(f'{step!r} is not a verb: another process could not run it')
        self._push(Step(step, args, kwargs))

    def add_local(self, step: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Remember a step that only this process can run, such as a callable of the caller.

        It is not among :meth:`steps`.
        """
        self._push(Step(step, args, kwargs))

    def add_step(self, step: Step) -> None:
        """Remember a step that was made elsewhere."""
        self._push(step)

    def adopt(self, other: Reversible) -> None:
        """Remember something that takes itself back."""
        self._push(other)

    def _push(self, step: Step | Reversible) -> None:
        with self._guard:
            if not self._has_run:
                self._todo.append(step)
                return
        # By itself: a step that runs may wait for this thread.
        late = Undo()
        late._push(step)
        try:
            late.take_back()
        finally:
            self.failures += late.failures

    def drop(self) -> None:
        """Forget the steps: what they would take back is to stay."""
        with self._guard:
            self._todo.clear()

    def steps(self) -> list[Data]:
        """The verbs among the steps as data, first made first."""
        with self._guard:
            todo = list(self._todo)
        found: list[Data] = []
        for step in todo:
            if not isinstance(step, Step):
                found += step.steps()
            elif isinstance(step.function, Verb):
                found.append(step.as_dict())
        return found

    def take_back(self) -> None:
        """Run the steps, last first; one that is interrupted is run once more, and no other lost.

        So is one whose act the privileged daemon may not have done, as it has died meanwhile.

        A process that is told to end has no later chance to take back what a step was in the middle
        of. A second interrupt of the same step is taken for the caller's patience.

        :raises BaseException: the last interrupt that came meanwhile.
        """
        with self._running:
            self._take_back()

    def _take_back(self) -> None:
        interrupt: BaseException | None = None
        begun: Step | Reversible | None = None
        while True:
            try:
                begun = self._next()
                if begun is None:
                    break
                self._run(begun)
                begun = None
            except BaseException as error:  # noqa: BLE001 raised below
                interrupt = error
                self._repeat(begun)
        if interrupt is not None:
            raise interrupt

    def _next(self) -> Step | Reversible | None:
        with self._guard:
            self._has_run = True
            return self._todo.pop() if self._todo else None

    def _repeat(self, step: Step | Reversible | None) -> bool:
        """Have a step that was interrupted be run once more; whether it is the first time."""
        with self._guard:
            if step is None or id(step) in self._repeated:
                return False
            self._repeated[id(step)] = step
            self._todo.append(step)
        return True

    def _run(self, step: Step | Reversible) -> None:
        name = step.name if isinstance(step, Step) else str(step)
        try:
            if isinstance(step, Step):
                step.run()
            else:
                step.take_back()
        except Exception as error:  # noqa: BLE001 the steps before it are taken back all the same
            if _is_answer_lost(error) and self._repeat(step):
                LOG.warning('Undoing (%s) is tried once more: %s', name, error)
                return
            LOG.warning('Undoing (%s) failed: %s', name, error)
            self.failures.append(f'undoing ({name}) failed: {error}')

    @contextlib.contextmanager
    def on_error(self) -> Iterator[None]:
        """Run the steps if the block ends in an error, and keep them if it does not."""
        try:
            yield
        except BaseException as error:
            self.take_back()
            self._note_on(error)
            raise

    def __enter__(self) -> Undo:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.drop()
            return
        try:
            self.take_back()
        finally:
            self._note_on(error)

    def _note_on(self, error: BaseException) -> None:
        """Have an error tell what failed; a block inside may have noted it already."""
        known = getattr(error, '__notes__', ())
        for failure in [each for each in self.failures if each not in known]:
            error.add_note(failure)


def _is_answer_lost(error: BaseException | None) -> bool:
    """Whether the privileged daemon has died: it gets a signal that is for its whole service, too.

    The next call starts another one.
    """
    while error is not None:
        if isinstance(error, OSError) and error.errno == errno.EPIPE:
            return True
        error = error.__cause__
    return False


def replay(steps: Iterable[Data]) -> list[str]:
    """Run steps that were listed, by any process, last first; return what failed, in words.

    :raises KeyError: if a step's verb is not known; nothing has been run then.
    """
    todo = Undo()
    for step in steps:
        todo.add(_verb_of(step['verb']), *step['args'], **step['kwargs'])
    todo.take_back()
    return todo.failures
