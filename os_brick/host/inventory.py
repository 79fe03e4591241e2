# SPDX-License-Identifier: Apache-2.0
"""What is on this host: every volume, the paths to it, what it is called, and who uses it.

Read from sysfs and proc, without root and without a program; no lock is taken, no device is asked
and nothing is changed. What could not be read is told in :attr:`Host.unread`. This imports no
library of OpenStack: that alone would take longer than the look.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
import dataclasses
import datetime
import os
import re
import threading

from os_brick.core import clock, glance
from os_brick.host import (
    inventory_look,
    inventory_names,
    inventory_nvme,
    inventory_remote,
    inventory_scsi,
    inventory_users,
)
from os_brick.host.inventory_look import Look
from os_brick.model import inventory, mounts

_MULTIPATH = 'mpath-'
# A file of the kernel answers in microseconds, unless what is behind it hangs.
_LONGEST_READ_SECONDS = 1.0
_PAUSE_SECONDS = 0.02
# So many files that hang may cost the whole time.
_MOST_HUNG = 10
# The default of [os_brick] state_path.
STATE_PATH = '/run/os-brick'


def read(*, everything: bool = False, state_paths: Iterable[str] | None = None) -> inventory.Host:
    """What there is now.

    :param everything: whether disks of this host's own count, too.
    :param state_paths: the directories in which there may be notes of attaches; the default one,
        and those of the services whose configuration is in its usual place, if none are passed.
    """
    return _read(Look(), everything=everything, state_paths=state_paths)


def read_within(
    seconds: float, *, everything: bool = False, state_paths: Iterable[str] | None = None
) -> inventory.Host:
    """The same, in a thread: a file that does not answer is left out, and told, after a moment.

    A look takes milliseconds, so it is begun anew without that file. The thread stays behind.

    :raises TimeoutError: if nothing is known by then.
    """
    ends = clock.monotonic() + seconds
    patience = min(_LONGEST_READ_SECONDS, seconds / _MOST_HUNG)
    hung: set[str] = set()
    places = None if state_paths is None else tuple(state_paths)
    while clock.monotonic() < ends:
        attempt = _Attempt(frozenset(hung), everything=everything, state_paths=places)
        stuck = attempt.watched(patience, ends)
        if not stuck:
            return attempt.result()
        hung.add(stuck)
    raise TimeoutError(f'{", ".join(sorted(hung)) or "this host"} does not answer')


class _Attempt:
    """One look in a thread of its own."""

    def __init__(
        self, hung: frozenset[str], *, everything: bool, state_paths: tuple[str, ...] | None
    ) -> None:
        self._look = Look(hung)
        self._options = {'everything': everything, 'state_paths': state_paths}
        self._found: inventory.Host | None = None
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._found = _read(self._look, **self._options)  # type: ignore[arg-type]
        except Exception as error:  # noqa: BLE001 raised by the thread that waits
            self._error = error

    def watched(self, patience: float, ends: float) -> str:
        """Wait for its end; the file that it does not get beyond, or nothing if it has ended.

        :param patience: how long it may read one file, in seconds.
        :param ends: by when it has to end, in seconds of :func:`clock.monotonic`.
        :raises TimeoutError: if it has not ended by then, naming the file.
        """
        before, since = '', clock.monotonic()
        while True:
            self._thread.join(_PAUSE_SECONDS)
            now = clock.monotonic()
            if not self._thread.is_alive():
                return ''
            reading = self._look.reading
            if reading != before:
                before, since = reading, now
            if reading and now - since >= patience:
                return reading
            if now >= ends:
                raise TimeoutError(f'{reading or "this host"} does not answer')

    def result(self) -> inventory.Host:
        """What it has found.

        :raises Exception: what it ended in instead.
        """
        if self._error is not None:
            raise self._error
        assert self._found is not None
        return self._found


def _read(look: Look, *, everything: bool, state_paths: Iterable[str] | None) -> inventory.Host:
    for place in inventory_look.not_mounted():
        look.missed(place, inventory_look.NOT_MOUNTED)
    table = _mounts(look)
    scsi, nvme = inventory_scsi.Scsi(look), inventory_nvme.Nvme(look)
    users = inventory_users.Users(look, table)
    shares = [mount for mount in table if inventory_remote.protocol_of(mount)]
    found = [*_scsi_volumes(look, scsi), *nvme.volumes(), *inventory_remote.devices(look)]
    found = found if everything else list(filter(_is_remote, found))
    has_volumes = bool(found or shares)
    if has_volumes:
        users.read_processes(_devices(look), [mount.place for mount in shares])
    guests = inventory_names.of_guests(look) if has_volumes else {}
    places = _note_places(look, state_paths, has_volumes=has_volumes)
    notes = inventory_names.Notes(inventory_names.notes(look, places))
    volumes = [_complete(volume, users, guests, notes) for volume in found]
    volumes += inventory_remote.shares(shares, users, guests, notes)
    return inventory.Host(
        name=os.uname().nodename,
        at=datetime.datetime.now(datetime.UTC).isoformat(timespec='seconds'),
        volumes=tuple(sorted(volumes, key=_order)),
        links=tuple({**scsi.links, **nvme.links}.values()),
        ports=scsi.ports,
        unread=look.unread,
    )


def _is_remote(volume: inventory.Volume) -> bool:
    return volume.protocol != inventory_scsi.LOCAL


def _note_places(look: Look, given: Iterable[str] | None, *, has_volumes: bool) -> Iterable[str]:
    """Where notes may be; services' configuration is read only if it matters."""
    if given is not None:
        return given
    return (STATE_PATH, *(inventory_names.places(look) if has_volumes else ()))


def _order(volume: inventory.Volume) -> tuple[bool, str, int, str]:
    """Shares last; ``dm-9`` before ``dm-10``."""
    match = re.match(r'([^0-9]*)([0-9]*)(.*)', volume.device)
    assert match is not None
    return volume.kind == 'share', match[1], int(match[2] or 0), match[3]


def _devices(look: Look) -> Iterable[str]:
    return look.blocks.keys()


def _mounts(look: Look) -> list[mounts.Mount]:
    """What is mounted in the host's namespace and in this process's own.

    Services may run in a mount namespace of their own, so the host's is read as well.
    """
    found: dict[tuple[str, str], mounts.Mount] = {}
    for process in ('1', 'self'):
        for mount in mounts.parse(look.data(f'/proc/{process}/mountinfo')):
            found.setdefault((mount.device, mount.place), mount)
    return list(found.values())


def _scsi_volumes(look: Look, scsi: inventory_scsi.Scsi) -> Iterator[inventory.Volume]:
    """Multipath maps with their disks, then the disks that are in none."""
    disks = {path.device: path for path in scsi.disks()}
    single = dict(disks)
    for name, wwid in _multipaths(look):
        below = glance.names(f'/sys/class/block/{name}/slaves')
        paths = [path for disk in below if (path := single.pop(disk, None) or disks.get(disk))]
        # A map may be of namespaces without native multipath; those are volumes by themselves.
        if paths or not below:
            yield _map(look, name, wwid, paths)
    for name, path in single.items():
        yield inventory.Volume(
            device=name,
            number=path.number,
            kind='disk',
            protocol=path.transport,
            size_bytes=path.size_bytes,
            identity=path.identity,
            paths=(path,),
            target=path.target,
            is_read_only=look.text(f'/sys/class/block/{name}/ro') == '1',
        )


def _multipaths(look: Look) -> Iterator[tuple[str, str]]:
    """The names of multipath maps, each with its WWID."""
    for name in look.blocks:
        uuid = look.text(f'/sys/class/block/{name}/dm/uuid') if name.startswith('dm-') else ''
        if uuid.startswith(_MULTIPATH):
            yield name, uuid.removeprefix(_MULTIPATH)


def _map(look: Look, name: str, wwid: str, paths: list[inventory.Path]) -> inventory.Volume:
    base = f'/sys/class/block/{name}'
    transports = sorted({path.transport for path in paths})
    targets = {path.target for path in paths}
    trouble = [] if paths else ['no path is left']
    if look.text(f'{base}/dm/suspended') == '1':
        trouble.append('suspended: its I/O waits')
    return inventory.Volume(
        device=name,
        number=glance.inode(base),
        kind='multipath',
        protocol='+'.join(transports) or 'unknown',
        size_bytes=look.size(name),
        identity=wwid,
        paths=tuple(paths),
        map_name=look.text(f'{base}/dm/name'),
        target=targets.pop() if len(targets) == 1 else '',
        is_read_only=look.text(f'{base}/ro') == '1',
        trouble=tuple(trouble),
    )


def _complete(
    volume: inventory.Volume,
    users: inventory_users.Users,
    guests: dict[str, inventory.Name],
    notes: inventory_names.Notes,
) -> inventory.Volume:
    """A volume with its users, its names, and what its note has of it."""
    noted, other = notes.of(volume), notes.contradicts(volume)
    trouble = [f'it was attached as {other}, which is another volume'] if other else []
    told = (
        inventory_names.of_note(noted) if noted else None,
        guests.get(volume.device),
        # A target of many volumes is called by none of them.
        inventory_names.of_text(volume.target) or inventory_names.of_text(volume.identity),
    )
    return dataclasses.replace(
        volume,
        users=users.of(volume.device),
        names=tuple(name for name in told if name is not None),
        wanted_paths=noted.wanted or None if noted else None,
        trouble=(*volume.trouble, *trouble),
    )
