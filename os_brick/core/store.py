# SPDX-License-Identifier: Apache-2.0
"""Small states that outlive a process: what one operation has to tell the next, of any service.

::

    store.save('controller', key, {'attached': ['nvme0n1']})
    store.load('controller', key)       # {'attached': ['nvme0n1']}, in any process
    store.save('controller', key, None)

They lie beside the lock files, so services that exclude each other also know of each other's
states. A state has no lock of its own: hold the lock of the thing that it is about. Reading never
fails: what is broken, too large, or written by a user who is not trusted counts as not known, and
is logged once.

Without a directory for lock files (allowed with ``disable_process_locking``) the states live in
this process.
"""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
from typing import Any, TypeAlias

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import atomic, files, forked, locks, shared_files

LOG = logging.getLogger(__name__)

# What json keeps as it is: text, numbers, booleans, None, lists and dictionaries of these.
State: TypeAlias = dict[str, Any]

# A state is a handful of names; one that is larger was not written here.
_LARGEST_BYTES = 1 << 20
# Another process may remove a directory of states that is empty, between its making and the first
# file in it; as often as that happens in a row it is made again.
_TRIES = 100
_BOOT_ID = '/proc/sys/kernel/random/boot_id'
_REMEDY = (
    '; services that share [os_brick] lock_path need a common group, and the directory that group '
    'and the set-group-ID bit (mode 2770)'
)

_guard = forked.Guard()
_reported: set[str] = set()
_in_memory: dict[tuple[str, str], str] = {}


@dataclasses.dataclass(frozen=True, slots=True)
class Store:
    """The states in one directory.

    :ivar directory: a path of the host's own, whatever stands for ``/``; made when first needed.
    :ivar mode: the permissions of its files.
    :ivar directory_mode: those of the directory, if it has to be made.
    :ivar remedy: what errors say at their end.
    """

    directory: str
    mode: int = 0o660
    directory_mode: int = 0o770
    remedy: str = ''

    def load(self, kind: str, key: str, *, this_boot: bool = False) -> State | None:
        """The state of a thing; ``None`` if there is none that can be believed.

        :param this_boot: whether a state that was saved before the host was started counts as none.
        """
        name = _name(kind, key)
        try:
            with shared_files.directory(self.directory) as directory:
                data = shared_files.read_trusted(directory, name, _LARGEST_BYTES)
        except FileNotFoundError:
            return None
        except OSError as error:
            _report(f'{self.directory}/{name}', error)
            return None
        try:
            return None if data is None else _parsed(data.decode(), key, this_boot=this_boot)
        except (ValueError, RecursionError) as error:
            _report(f'{self.directory}/{name}', error)
            return None

    def save(self, kind: str, key: str, state: State | None, *, durable: bool = False) -> None:
        """Save the state of a thing at once and as a whole; ``None`` or an empty one is removed.

        :param durable: whether it has to outlast a crash of the host.
        :raises BrickException: naming the directory, if it cannot be written.
        """
        why: object = ''
        for _ in range(_TRIES if state else 1):
            try:
                self._write(kind, key, state, durable=durable)
            except FileNotFoundError:
                why = 'it does not exist'
            except FileExistsError as error:  # os.makedirs, of one that has gone since.
                why = error
            except OSError as error:
                raise self._cannot_save(kind, key, error) from error
            else:
                return
        if state:
            raise self._cannot_save(kind, key, why)

    def _write(self, kind: str, key: str, state: State | None, *, durable: bool) -> None:
        name = _name(kind, key)
        mode = self.directory_mode if state else None
        with shared_files.directory(self.directory, mode) as directory:
            try:
                if state:
                    data = _text(key, state).encode()
                    atomic.replace_in(directory, name, data, self.mode, durable=durable)
                else:
                    atomic.unlink_in(directory, name, durable=durable)
            except OSError as error:
                # What the kernel says of a directory that was removed depends on its file system.
                if shared_files.is_removed(directory):
                    raise FileNotFoundError(errno.ENOENT, self.directory) from error
                raise

    def _cannot_save(self, kind: str, key: str, error: object) -> exception.BrickException:
        return exception.BrickException(
            f'The state of {kind} {key} cannot be saved in {self.directory}: {error}{self.remedy}'
        )


def load(kind: str, key: str, *, this_boot: bool = False) -> State | None:
    """The state of a thing, from beside the lock files; see :meth:`Store.load`."""
    place = locks.directory()
    if place is not None:
        return _beside_locks(place).load(kind, key, this_boot=this_boot)
    with _guard:
        text = _in_memory.get((kind, key))
    return None if text is None else _parsed(text, key, this_boot=False)


def save(kind: str, key: str, state: State | None, *, durable: bool = False) -> None:
    """Save the state of a thing beside the lock files; see :meth:`Store.save`.

    :raises BrickException: naming the directory, if it cannot be written.
    """
    place = locks.directory()
    if place is not None:
        _beside_locks(place).save(kind, key, state, durable=durable)
        return
    with _guard:
        if state:
            _in_memory[kind, key] = _text(key, state)
        else:
            _in_memory.pop((kind, key), None)


def _beside_locks(place: str) -> Store:
    return Store(place, remedy=_REMEDY)


def _name(kind: str, key: str) -> str:
    # 128 bits: no two things of a host share a file. The key is in the file, and is compared.
    return f'{locks.PREFIX}{kind}-state-{hashlib.sha256(key.encode()).hexdigest()[:32]}'


def _text(key: str, state: State) -> str:
    boot = files.read_or(_BOOT_ID)
    return json.dumps({'key': key, 'boot': boot, 'state': state})


def _parsed(text: str, key: str, *, this_boot: bool) -> State | None:
    """The state in a file's text.

    :raises ValueError: if it is not the text of a state of this key.
    """
    found = json.loads(text)
    state = found.get('state') if isinstance(found, dict) and found.get('key') == key else None
    if not isinstance(state, dict):
        raise ValueError('it is not a state of os-brick')
    if this_boot and found.get('boot') != files.read_or(_BOOT_ID):
        return None
    return state


def _report(path: str, error: Exception) -> None:
    with _guard:
        is_new = path not in _reported
        _reported.add(path)
    if is_new:
        LOG.warning('The state in %s is ignored: %s', path, error)
