# SPDX-License-Identifier: Apache-2.0
"""What the things of an inventory are called: the one grammar for WHAT of the command line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
import dataclasses
import difflib

from os_brick.model import inventory

# A start of an ID that is shorter would mean something else by chance.
_SHORTEST_START = 4
_KINDS = ('uuid.', 'nguid.', 'eui.', 'naa.', 'wwid-', '0x')
_MOST_NEAR = 3


@dataclasses.dataclass(frozen=True, slots=True)
class Thing:
    """Something that has a name on this host.

    :ivar kind: ``volume``, ``path``, ``link``, ``port``, ``device`` (built on a volume) or
        ``target`` (the volumes that one target or array shows).
    :ivar volumes: those that it is, is a path of, carries, or is built on.
    """

    kind: str
    name: str
    value: object
    volumes: tuple[inventory.Volume, ...]


class NotFound(Exception):
    """Nothing has the name.

    :ivar near: names that are spelled like it.
    """

    def __init__(self, what: str, near: tuple[str, ...]) -> None:
        super().__init__(what)
        self.what = what
        self.near = near


class Ambiguous(Exception):
    """A name, or its start, is that of several things.

    :ivar candidates: their names.
    """

    def __init__(self, what: str, candidates: tuple[str, ...]) -> None:
        super().__init__(what)
        self.what = what
        self.candidates = candidates


class Index:
    """Everything of an inventory by each of its names.

    The kernel's names of devices come first: names of maps, of logical volumes and of guests are
    chosen by others, and may be those of devices.
    """

    def __init__(self, host: inventory.Host) -> None:
        self._devices: dict[str, list[Thing]] = {}
        self._maps: dict[str, list[Thing]] = {}
        self._names: dict[str, list[Thing]] = {}
        self._ids: dict[str, list[Thing]] = {}
        for volume in host.volumes:
            self._add_volume(volume)
        for link in host.links:
            self._add_link(link, host)
        for port in host.ports:
            self._add_port(port, host)
        self._add_targets(host)

    @staticmethod
    def _put(table: dict[str, list[Thing]], thing: Thing, *names: str) -> None:
        for name in {folded(each) for each in names if each}:
            known = table.setdefault(name, [])
            if thing not in known:
                known.append(thing)

    def _add(self, thing: Thing, *names: str) -> None:
        self._put(self._names, thing, *names)

    def _add_volume(self, volume: inventory.Volume) -> None:
        thing = Thing('volume', volume.path, volume, (volume,))
        for name in volume.names:
            self._add(thing, name.volume_id, name.text)
            self._put(self._ids, thing, name.volume_id)
        self._put(self._devices, thing, volume.device)
        self._put(self._maps, thing, volume.map_name)
        self._add(thing, volume.identity, *_positions(volume))
        for path in volume.paths:
            is_itself = path.device == volume.device
            each = thing if is_itself else Thing('path', path.device, path, (volume,))
            self._put(self._devices, each, path.device, path.address)
        for user in volume.all_users():
            if user.device:
                built = Thing('device', user.device, user, (volume,))
                self._put(self._devices, built, user.device)
                self._put(self._maps, built, user.name)
            elif user.kind == 'mount':
                self._add(thing, user.name)

    def _add_link(self, link: inventory.Link, host: inventory.Host) -> None:
        carried = [v for v in host.volumes if any(path.link == link.name for path in v.paths)]
        spelled = link.name.replace('session', 'session:', 1)
        # A portal, and a port of the array, may have several sessions.
        self._add(Thing('link', link.name, link, tuple(carried)), link.name, spelled, link.remote)

    def _add_port(self, port: inventory.Port, host: inventory.Host) -> None:
        carried = [v for v in host.volumes if any(path.host == port.name for path in v.paths)]
        self._add(Thing('port', port.name, port, tuple(carried)), port.name, port.identity)

    def _add_targets(self, host: inventory.Host) -> None:
        volumes: dict[str, list[inventory.Volume]] = {}
        hosts: dict[str, list[inventory.Volume]] = {}
        for volume in host.volumes:
            for target in {volume.target, *(path.target for path in volume.paths)} - {''}:
                volumes.setdefault(target, []).append(volume)
            for name in {path.host for path in volume.paths} - {''}:
                hosts.setdefault(name, []).append(volume)
        for target, found in volumes.items():
            self._add(Thing('target', target, target, tuple(found)), target)
        for name, found in hosts.items():
            if folded(name) not in self._names:
                self._add(Thing('port', name, name, tuple(found)), name)

    def named(self, what: str) -> list[Thing]:
        """The things that have a name; by the start of an ID if no whole name is it.

        :raises NotFound: if there is none.
        :raises Ambiguous: if a start is that of several volumes' IDs.
        """
        name = folded(what)
        found = self._whole(what.strip().lower(), name)
        if found:
            return found
        starts = [key for key in self._ids if key.startswith(name)]
        things = list(dict.fromkeys(each for key in starts for each in self._ids[key]))
        if len(name) < _SHORTEST_START or not things or what.startswith('/'):
            raise NotFound(what, self._near(name))
        if len(things) > 1:
            raise Ambiguous(what, tuple(sorted(starts)) if len(starts) > 1 else _listed(things))
        return things

    def _near(self, name: str) -> tuple[str, ...]:
        known = {**self._names, **self._maps, **self._devices}
        return tuple(difflib.get_close_matches(name, known, n=_MOST_NEAR))

    def _whole(self, what: str, name: str) -> list[Thing]:
        """The things of a whole name; a path below ``/dev`` is a device, and nothing else."""
        if what.startswith('/dev/mapper/'):
            return self._maps.get(name, [])
        if what.startswith('/dev/'):
            return self._devices.get(name, [])
        others = (*self._maps.get(name, ()), *self._names.get(name, ()))
        return self._devices.get(name) or list(dict.fromkeys(others))

    def one(self, what: str) -> Thing:
        """The one thing that has a name; a volume before what carries it and nothing else.

        :raises NotFound: if there is none.
        :raises Ambiguous: if there are several.
        """
        found = self.named(what)
        volumes = [thing for thing in found if thing.kind == 'volume']
        carried = {volume for thing in found for volume in thing.volumes}
        chosen = volumes if len(volumes) == len(carried) == 1 else found
        if len(chosen) > 1:
            raise Ambiguous(what, _listed(chosen))
        return chosen[0]

    def volumes(self, what: str) -> tuple[inventory.Volume, ...]:
        """The volumes that a name is of: one, or all of a target, a session or an adapter.

        :raises NotFound: if nothing has the name.
        :raises Ambiguous: if it is the start of several volumes' IDs.
        """
        found = self.named(what)
        return tuple(dict.fromkeys(volume for thing in found for volume in thing.volumes))


def _listed(things: Iterable[Thing]) -> tuple[str, ...]:
    return tuple(f'{thing.kind} {thing.name}' for thing in things)


def _positions(volume: inventory.Volume) -> Iterator[str]:
    """``IQN/LUN``, ``NQN/NSID`` and ``WWPN/LUN`` of each path."""
    for path in volume.paths:
        if path.lun is not None:
            yield from (f'{each}/{path.lun}' for each in (path.target, path.remote) if each)


def folded(name: str) -> str:
    """A name as it is compared: case, ``/dev/`` and the word for the kind of name do not count."""
    text = name.strip().lower()
    for start in ('/dev/mapper/', '/dev/'):
        text = text.removeprefix(start)
    for start in _KINDS:
        text = text.removeprefix(start)
    return text
