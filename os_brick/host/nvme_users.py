# SPDX-License-Identifier: Apache-2.0
"""Which volumes use a controller: noted with its lock, because the kernel does not know.

An idle namespace of a subsystem may be a volume that somebody has attached and not opened yet,
one that has been detached and that the array still maps, or one that nobody has asked for. So
attaches note what they are about to use and what they have, and detaches what they have let go.
Of a controller that an attach has made, nobody else has namespaces unless he uses them.
Notes about an earlier controller of the same name are void.

Every function here is called by a holder of the controller's lock.
"""

from __future__ import annotations

import dataclasses
import os
import threading

from os_brick.core import files, store
from os_brick.host import nvme

_STATE = 'controller'


@dataclasses.dataclass(frozen=True, slots=True)
class Notes:
    """What is noted about a controller.

    :ivar coming: the attaches under way that use it, by their tokens.
    :ivar attached: the namespaces behind it that attaches have found.
    :ivar released: those that detaches have let go of; the array may still map them.
    :ivar is_made: whether an attach has made the controller.
    """

    coming: frozenset[str] = frozenset()
    attached: frozenset[str] = frozenset()
    released: frozenset[str] = frozenset()
    is_made: bool = False


def token() -> str:
    """What an attach of this thread is noted as: the process, and the thread of it."""
    return f'{_process(os.getpid())}/{threading.get_ident()}'


def _process(pid: object) -> str:
    """The process that has a PID now, told by its start from a later one (proc_pid_stat(5), 22).

    Without a start if there is none.
    """
    # The second field is the name of its program, in which anything may stand.
    fields = files.read_or(f'/proc/{pid}/stat').rpartition(')')[2].split()
    return f'{pid} {fields[19]}' if len(fields) > 19 else f'{pid}'


def _is_alive(who: str) -> bool:
    process = who.partition('/')[0]
    pid, _, start = process.partition(' ')
    return bool(start) and _process(pid) == process


def read(lock: str, controller: nvme.Controller) -> Notes:
    """What is noted about a controller."""
    found = store.load(_STATE, _key(lock, controller))
    if found is None or found.get('controller') != _of(controller):
        return Notes()
    try:
        return Notes(
            frozenset(filter(_is_alive, found['coming'])),
            frozenset(found['attached']),
            frozenset(found['released']),
            found['made'] is True,
        )
    except (KeyError, TypeError):
        return Notes()  # Of another release: nothing is known.


def write(lock: str, controller: nvme.Controller, notes: Notes) -> None:
    """Note something about a controller; nothing noted leaves no file.

    :raises BrickException: if it cannot be written.
    """
    if notes == Notes():
        forget(lock, controller)
        return
    state = {
        'controller': _of(controller),
        'coming': sorted(notes.coming),
        'attached': sorted(notes.attached),
        'released': sorted(notes.released),
        'made': notes.is_made,
    }
    store.save(_STATE, _key(lock, controller), state)


def forget(lock: str, controller: nvme.Controller) -> None:
    """Forget what is noted about a controller."""
    store.save(_STATE, _key(lock, controller), None)


def _key(lock: str, controller: nvme.Controller) -> str:
    return f'{lock} {controller.name}'


def _of(controller: nvme.Controller) -> str:
    boot = files.read_or('/proc/sys/kernel/random/boot_id')
    # Both its name and its ID may be those of another one that is gone.
    number = nvme.number_of(controller)
    return f'{boot} {controller.name} {controller.id} {number}'


def made(lock: str, controller: nvme.Controller, who: str) -> None:
    """Note that an attach has made a controller, of which nobody can have noted anything."""
    write(lock, controller, Notes(coming=frozenset({who}), is_made=True))


def comes(lock: str, controller: nvme.Controller, who: str) -> None:
    """Note that an attach is about to use a controller."""
    notes = read(lock, controller)
    write(lock, controller, dataclasses.replace(notes, coming=notes.coming | {who}))


def has_come(lock: str, controller: nvme.Controller, who: str, name: str | None) -> None:
    """Note that an attach has ended: with a namespace, or (``None``) without."""
    notes = read(lock, controller)
    names = {name} if name else set()
    write(
        lock,
        controller,
        dataclasses.replace(
            notes,
            coming=notes.coming - {who},
            attached=notes.attached | names,
            released=notes.released - names,
        ),
    )


def goes(lock: str, controller: nvme.Controller, names: set[str]) -> Notes:
    """Note that namespaces are let go of; return what is noted then."""
    notes = read(lock, controller)
    left = dataclasses.replace(
        notes, attached=notes.attached - names, released=notes.released | names
    )
    write(lock, controller, left)
    return left
