# SPDX-License-Identifier: Apache-2.0
"""What the things of an inventory are called: the one grammar for WHAT of the command line."""

from __future__ import annotations

from collections.abc import Iterator
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
    """Everything of an inventory by each of its names."""

    def __init__(self, host: inventory.Host) -> None:
        self._by_name: dict[str, list[Thing]] = {}
        self._ids: dict[str, Thing] = {}
        for volume in host.volumes:
            self._add_volume(volume)
        for link in host.links:
            self._add_link(link, host)
        for port in host.ports:
            self._add_port(port, host)
        self._add_targets(host)

    def _add(self, thing: Thing, *names: str) -> None:
        for name in {folded(each) for each in names if each}:
            known = self._by_name.setdefault(name, [])
            if thing not in known:
                known.append(thing)

    def _add_volume(self, volume: inventory.Volume) -> None:
        thing = Thing('volume', volume.path, volume, (volume,))
        for name in volume.names:
            self._add(thing, name.volume_id, name.text)
            self._ids[folded(name.volume_id)] = thing
        self._add(thing, volume.device, volume.identity, volume.map_name)
        self._add(thing, *_positions(volume))
        for path in volume.paths:
            if path.device != volume.device:
                self._add(Thing('path', path.device, path, (volume,)), path.device, path.address)
            else:
                self._add(thing, path.address)
        for user in volume.all_users():
            if user.device:
                names = (user.device, user.name)
                self._add(Thing('device', user.device, user, (volume,)), *names)
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
            if folded(name) not in self._by_name:
                self._add(Thing('port', name, name, tuple(found)), name)

    def named(self, what: str) -> list[Thing]:
        """The things that have a name; by the start of one if no whole name is it.

        :raises NotFound: if there is none.
        :raises Ambiguous: if a start is that of several volumes' IDs.
        """
        name = folded(what)
        if name in self._by_name:
            return self._by_name[name]
        starts = [key for key in self._ids if key.startswith(name)]
        if len(name) < _SHORTEST_START or not starts:
            # For people: the names as they are, not all of their spellings.
            near = difflib.get_close_matches(name, self._by_name, n=_MOST_NEAR)
            raise NotFound(what, tuple(near))
        if len(starts) > 1:
            raise Ambiguous(what, tuple(sorted(starts)))
        return [self._ids[starts[0]]]

    def one(self, what: str) -> Thing:
        """The one thing that has a name; a volume before what carries it.

        :raises NotFound: if there is none.
        :raises Ambiguous: if there are several.
        """
        found = self.named(what)
        volumes = [thing for thing in found if thing.kind == 'volume']
        chosen = volumes or found
        if len(chosen) > 1:
            raise Ambiguous(what, tuple(f'{thing.kind} {thing.name}' for thing in chosen))
        return chosen[0]

    def volumes(self, what: str) -> tuple[inventory.Volume, ...]:
        """The volumes that a name is of: one, or all of a target, a session or an adapter.

        :raises NotFound: if nothing has the name.
        :raises Ambiguous: if it is the start of several volumes' IDs.
        """
        found = self.named(what)
        return tuple(dict.fromkeys(volume for thing in found for volume in thing.volumes))


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
