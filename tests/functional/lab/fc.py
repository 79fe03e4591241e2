# SPDX-License-Identifier: Apache-2.0
"""A Fibre Channel fabric in software: FCoE in VN2VN mode between PCI cards, and LIO's tcm_fc.

Four cards are ports: the first two this host's initiators, the others the array's. Each has a
second card as the other end of its cable; a cable is plugged when that end is in the bridge, which
stands for the switch. On cards udev makes links by path; on veth pairs it would make none.

The order matters. A frame that arrives before its port is ready oopses the kernel: every port is
made while its cable is not plugged. And a target has to know its initiators before they log in:
one that logs in before stays without a number as a SCSI target until it is forgotten.

The array's ports show up as adapters of this host as well, as on a machine that is both.

When a port comes back the kernel itself scans all it sees: whatever is mapped appears then.
"""

import contextlib
import dataclasses
import os
import pathlib
import re
import time

from tests.functional.lab import lio, programs, shell

SYS = pathlib.Path('/sys')
_TARGETS = lio.ROOT / 'fc'
_NETWORK = SYS / 'class' / 'net'
_PARAMETERS = SYS / 'module' / 'libfcoe' / 'parameters'
_BRIDGE = 'labfcbr'
_MODULES = ('fcoe', 'libfc', 'libfcoe', 'tcm_fc', 'bridge', 'scsi_transport_fc')
# FCoE frames carry 2112 bytes of payload.
_MTU = '2500'
_PROBE = 'scan'
_LOGIN_SECONDS = 60
_PATIENCE_SECONDS = 25
_STEADY_LOOKS = 5


def _card(mac: str) -> str:
    """The network device with this address; fails if the machine has no such card."""
    for address in _NETWORK.glob('*/address'):
        if shell.read(address) == mac:
            return address.parent.name
    raise AssertionError(f'this machine has no card {mac} for Fibre Channel: see tools/guest')


class Port:
    """One card as a Fibre Channel port, and the other end of its cable."""

    def __init__(self, number: int) -> None:
        self.is_cut = False
        self.has_left = False
        self.card = _card(f'02:fc:00:00:00:1{number}')
        self.end = _card(f'02:fc:00:00:01:1{number}')
        for device in (self.card, self.end):
            shell.write(f'/proc/sys/net/ipv6/conf/{device}/disable_ipv6', 1)
            shell.run('ip', 'link', 'set', device, 'mtu', _MTU, 'up')
        self.host = self._adapter()
        self.wwpn = shell.read(self._hosts()[0] / 'port_name').removeprefix('0x')

    def _hosts(self) -> list[pathlib.Path]:
        return list((_NETWORK / self.card).glob('ctlr_*/host*/fc_host/host*'))

    def _adapter(self) -> str:
        """Have the card be an adapter; return its name."""
        if not self._hosts():
            shell.write(_PARAMETERS / 'create_vn2vn', self.card)
        shell.until(self._hosts, 10, f'{self.card} is an adapter')
        return self._hosts()[0].name

    @property
    def state(self) -> str:
        """``Online``, ``Linkdown``, ..."""
        return shell.read(SYS / 'class' / 'fc_host' / self.host / 'port_state')

    @property
    def colons(self) -> str:
        """Its name as LIO spells it."""
        return ':'.join(self.wwpn[n : n + 2] for n in range(0, 16, 2))

    def plug(self) -> None:
        """Plug the cable into the switch."""
        shell.run('ip', 'link', 'set', self.end, 'master', _BRIDGE, 'up')

    def cut(self) -> None:
        """Pull the cable: the port is down at once, and what it sees is blocked.

        The ports at the other end miss its beacons for some 20 s before they notice.
        """
        shell.run('ip', 'link', 'set', self.card, 'down')
        self.is_cut = True

    def heal(self) -> None:
        """Plug it in again."""
        shell.run('ip', 'link', 'set', self.card, 'up')
        self.is_cut = False

    def replug(self) -> None:
        """Pull the cable, until the port is down, and plug it in again."""
        self.cut()
        shell.until(lambda: self.state != 'Online', 10, f'{self.host} is down')
        self.heal()

    def leave(self) -> None:
        """Log out of every other port and end, as when a controller of an array restarts.

        The others know at once. Of a port whose cable is pulled they only miss the beacons, and
        what was sent to it meanwhile keeps the error handlers of their hosts busy for minutes.
        """
        shell.write(_PARAMETERS / 'destroy', self.card)
        shell.until(lambda: not self._hosts(), 20, f'{self.card} is not an adapter any more')
        self.has_left = True

    def come_back(self) -> None:
        """Be there again; no initiator looks before its own cable is plugged in anew (``replug``).

        A switch would tell them. Here, without one, they wait for an answer to what was lost.
        """
        # No frame may arrive before the port is ready.
        shell.run('ip', 'link', 'set', self.end, 'nomaster')
        self.host = self._adapter()
        self.plug()
        self.has_left = False

    def close(self) -> None:
        """Make a plain card of it again."""
        shell.run('ip', 'link', 'set', self.end, 'nomaster', check=False)
        if self._hosts():
            self.leave()


class Target(Port):
    """A port of the array: some volumes by LUN, shown to each initiator."""

    def __init__(self, number: int, initiators: list[Port]) -> None:
        super().__init__(number)
        self.root = _TARGETS / self.colons / 'tpgt_1'
        self.root.mkdir(parents=True, exist_ok=True)
        for initiator in initiators:
            (self.root / 'acls' / initiator.colons).mkdir(exist_ok=True)

    def map(self, lun: int, volume: lio.Volume) -> None:
        """Show a volume as this LUN to every initiator."""
        place = self.root / 'lun' / f'lun_{lun}'
        place.mkdir()
        os.symlink(volume.store, place / volume.name)
        for acl in (self.root / 'acls').iterdir():
            (acl / f'lun_{lun}').mkdir()
            os.symlink(place, acl / f'lun_{lun}' / 'lun')

    def unmap(self, lun: int) -> None:
        """Take the LUN away."""
        for acl in (self.root / 'acls').iterdir():
            _remove(acl / f'lun_{lun}')
        _remove(self.root / 'lun' / f'lun_{lun}')

    def remap(self, lun: int, volume: lio.Volume) -> None:
        """Put another volume behind the LUN."""
        self.unmap(lun)
        self.map(lun, volume)

    def clear(self) -> None:
        """Take every LUN away."""
        for place in (self.root / 'lun').glob('lun_*'):
            self.unmap(int(place.name.removeprefix('lun_')))

    def close(self) -> None:
        self.clear()
        for acl in (self.root / 'acls').iterdir():
            acl.rmdir()
        self.root.rmdir()
        self.root.parent.rmdir()
        super().close()


def _remove(directory: pathlib.Path) -> None:
    if not directory.exists():
        return
    for entry in directory.iterdir():
        if entry.is_symlink():
            entry.unlink()
    directory.rmdir()


def clear() -> None:
    """Take every disk and LUN away that an earlier, killed run left; the fabric itself stays."""
    for disk in SYS.glob('class/fc_transport/target*/device/*:*:*:*/block/*'):
        for holder in (disk / 'holders').iterdir():
            name = shell.read(SYS / 'block' / holder.name / 'dm' / 'name')
            shell.run('dmsetup', 'message', name, '0', 'fail_if_no_path', check=False)
            shell.run('dmsetup', 'remove', '--retry', name, check=False)
        shell.write(disk / 'device' / 'delete', 1)
    for place in _TARGETS.glob('*/tpgt_1/acls/*/lun_*') if _TARGETS.exists() else ():
        _remove(place)
    for place in _TARGETS.glob('*/tpgt_1/lun/lun_*') if _TARGETS.exists() else ():
        _remove(place)


class Fabric:
    """Two initiator ports, two target ports, one switch."""

    def __init__(self) -> None:
        shell.modules(*_MODULES)
        _TARGETS.mkdir(exist_ok=True)
        self.initiators = [Port(0), Port(1)]
        self.targets = [Target(2, self.initiators), Target(3, self.initiators)]
        self.ports: list[Port] = [*self.initiators, *self.targets]
        if not (_NETWORK / _BRIDGE).exists():
            shell.run('ip', 'link', 'add', _BRIDGE, 'type', 'bridge', 'stp_state', '0',
                      'forward_delay', '0', 'mcast_snooping', '0')  # fmt: skip
            shell.run('ip', 'link', 'set', _BRIDGE, 'mtu', _MTU, 'up')
        for port in self.ports:
            port.plug()
        self.wait()

    def wait(self, seconds: float = _LOGIN_SECONDS) -> None:
        """Return when every initiator sees every target, as a target, for a second.

        libfc tries to log in three times: a port that was used while its cable was cut may stay
        away for good. It is forgotten with the initiators' own cables.
        """
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not self.is_whole() and time.monotonic() < deadline:
            time.sleep(0.2)
        if not self.is_whole():
            for initiator in self.initiators:
                initiator.replug()
        for _ in range(_STEADY_LOOKS):
            shell.until(self.is_whole, seconds, f'every port sees every target: {self.seen()}', 0.2)
            time.sleep(1 / _STEADY_LOOKS)
        shell.settle()

    def is_whole(self) -> bool:
        """Whether every initiator sees every target, as a target."""
        return self._see_all(self.initiators) and all(port.state == 'Online' for port in self.ports)

    def wait_for(self, initiator: Port) -> None:
        """Return when one initiator sees every target, as a target."""
        shell.until(lambda: self._see_all([initiator]), 30, f'{initiator.host} sees all', 0.2)

    def _see_all(self, initiators: list[Port]) -> bool:
        return {(i.host, t.wwpn) for i in initiators for t in self.targets} <= self.seen()

    @staticmethod
    def seen() -> set[tuple[str, str]]:
        """Host and name of every remote port that is online and has a number as a target."""
        found = set()
        for root in (SYS / 'class' / 'fc_remote_ports').glob('rport-*'):
            number = shell.read(root / 'scsi_target_id')
            if shell.read(root / 'port_state') == 'Online' and number not in ('', '-1'):
                host = 'host' + root.name.removeprefix('rport-').partition(':')[0]
                found.add((host, shell.read(root / 'port_name').removeprefix('0x')))
        return found

    def map(self, lun: int, volume: lio.Volume) -> None:
        """Show a volume as this LUN on every port."""
        for target in self.targets:
            target.map(lun, volume)

    def unmap(self, lun: int) -> None:
        """Take the LUN away on every port."""
        for target in self.targets:
            target.unmap(lun)

    def remap(self, lun: int, volume: lio.Volume) -> None:
        """Put another volume behind the LUN on every port."""
        for target in self.targets:
            target.remap(lun, volume)

    def properties(self, lun: int, **more: object) -> dict[str, object]:
        """Connection properties as Cinder would write them, with the map of a fabric manager."""
        names = [target.wwpn for target in self.targets]
        props: dict[str, object] = {
            'target_discovered': True,
            'target_wwn': names,
            'target_lun': lun,
            'volume_id': f'lab-{lun}',
            'access_mode': 'rw',
            'initiator_target_map': {port.wwpn: names for port in self.initiators},
        }
        return props | more

    def reset(self) -> None:
        """Take every LUN away, then plug in every cable: the kernel finds nothing then."""
        for target in self.targets:
            target.clear()
            if target.has_left:
                target.come_back()
        cut = [port for port in self.ports if port.is_cut]
        for port in cut:
            port.heal()
        try:
            if cut or not self.is_whole():
                self.wait()
        except AssertionError:
            self.rebuild()

    def rebuild(self) -> None:
        """Make every port anew: one test's broken fabric is not the next one's."""
        for port in self.ports:
            shell.run('ip', 'link', 'set', port.end, 'nomaster')
        for port in self.ports:
            if not port.has_left:
                port.leave()
        for port in self.ports:
            port.come_back()
        self.wait()

    def close(self) -> None:
        """Take the fabric down: initiators first, as no one may log in meanwhile."""
        for port in self.ports:
            shell.run('ip', 'link', 'set', port.end, 'nomaster', check=False)
        for port in self.ports:
            with contextlib.suppress(OSError):
                port.close()
        shell.run('ip', 'link', 'del', _BRIDGE, check=False)


@dataclasses.dataclass(frozen=True)
class Scan:
    """One request to the kernel to look for LUNs.

    ``what``: channel, target and LUN, ``-`` for any of them.
    """

    host: str
    what: str

    @property
    def address(self) -> str:
        """``2:0:1:7``, where it is for one LUN."""
        return ':'.join([self.host.removeprefix('host'), *self.what.split()])


class Scans:
    """What is written to the ``scan`` files of SCSI hosts while it is open (then see ``seen``)."""

    def __init__(self) -> None:
        self.seen: set[Scan] = set()
        self._root = programs.TRACING / 'instances' / f'osbrick-lab-scan-{os.getpid()}'

    def __enter__(self) -> 'Scans':
        # The name of a device is the first thing in it; the text is the third argument.
        where = 'store_scan host=+0(+0(%di)):string what=+0(%dx):string'
        programs.open_record(self._root, f'{programs.GROUP}/{_PROBE}', where)
        shell.write(self._root / 'events' / programs.GROUP / _PROBE / 'enable', 1)
        return self

    def __exit__(self, *_exc: object) -> None:
        text = (self._root / 'trace').read_text(errors='replace')
        shell.write(self._root / 'events' / programs.GROUP / _PROBE / 'enable', 0)
        self._root.rmdir()
        found = re.findall(r'host="(host\d+)" what="([^"]*)"', text)
        self.seen = {Scan(host, what.strip()) for host, what in found}
