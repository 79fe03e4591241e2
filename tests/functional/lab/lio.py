# SPDX-License-Identifier: Apache-2.0
"""Volumes and iSCSI targets of the kernel's LIO, made through configfs only.

A fileio store keeps the size it was made with, so a volume is an iblock store on a loop device on
a sparse file in RAM: it can really grow, and the file shows which bytes have arrived.
"""

from collections.abc import Iterable
import hashlib
import os
import pathlib

from tests.functional.lab import loops, net, shell

ROOT = pathlib.Path('/sys/kernel/config/target')
CORE = ROOT / 'core' / 'iblock_0'
ISCSI = ROOT / 'iscsi'
MEBI = loops.MEBI
IQN = 'iqn.2026-11.org.lab:'


def load() -> None:
    """Load LIO and make its configfs directories."""
    shell.modules('configfs', 'loop', 'target_core_mod', 'target_core_iblock', 'iscsi_target_mod')
    shell.modules('iscsi_tcp', 'dm_multipath', 'scsi_dh_alua', 'sd_mod', 'sg')
    if not ROOT.parent.is_mount():
        shell.run('mount', '-t', 'configfs', 'configfs', str(ROOT.parent), check=False)
    # A group is not a plain directory: a missing parent is made by the fabric's module only.
    ISCSI.mkdir(exist_ok=True)
    (ROOT / 'core').mkdir(exist_ok=True)


class Volume:
    """One backing store with an identity of its own.

    ``layer`` puts a device-mapper target between store and file, for faults: ``'error'`` (every
    read fails), ``'linear DEVICE 0'`` (can be suspended: ``freeze`` and ``thaw``).
    """

    def __init__(
        self, name: str, megabytes: int = 32, serial: str | None = None, layer: str = ''
    ) -> None:
        self.name = name
        self.serial = serial or hashlib.md5(name.encode(), usedforsecurity=False).hexdigest()
        self.image = pathlib.Path(f'/dev/shm/lab-{name}.img')
        self.store = CORE / name
        self.image.write_bytes(b'')
        os.truncate(self.image, megabytes * MEBI)
        self.loop = loops.attach(self.image)
        self._layer = layer
        device = self.loop
        if layer:
            table = f'0 {megabytes * 2048} {layer.replace("DEVICE", self.loop)}'
            shell.run('dmsetup', 'create', f'labstore-{name}', '--table', table)
            device = f'/dev/mapper/labstore-{name}'
        self.store.mkdir(parents=True)
        shell.write(self.store / 'control', f'udev_path={device}')
        shell.write(self.store / 'wwn' / 'vpd_unit_serial', self.serial)
        shell.write(self.store / 'enable', 1)

    @property
    def wwid(self) -> str:
        """The identity in udev's spelling: LIO makes an NAA 6 from its serial's hex digits."""
        digits = ''.join(c for c in self.serial.lower() if c in '0123456789abcdef')
        return '36001405' + digits[:25].ljust(25, '0')

    @property
    def size(self) -> int:
        """Bytes."""
        return self.image.stat().st_size

    def grow(self, megabytes: int) -> int:
        """Give the volume a new size on the target's side and return it in bytes."""
        loops.grow(self.loop, self.image, megabytes)
        return megabytes * MEBI

    def freeze(self) -> None:
        """Let every read and write hang (INQUIRY and the like are still answered)."""
        shell.run('dmsetup', 'suspend', '--noflush', '--nolockfs', f'labstore-{self.name}')

    def thaw(self) -> None:
        """Let reads and writes pass again."""
        shell.run('dmsetup', 'resume', f'labstore-{self.name}')

    def write(self, data: bytes, offset: int = 0) -> None:
        """Change the bytes behind the initiator's back."""
        with open(self.image, 'r+b') as image:
            image.seek(offset)
            image.write(data)

    def read(self, length: int, offset: int = 0) -> bytes:
        """The bytes that have really arrived."""
        with open(self.image, 'rb') as image:
            image.seek(offset)
            return image.read(length)

    def port_group(self, group: 'Group', lun: int) -> pathlib.Path:
        """The ALUA group of the ports through which a group shows this volume; made here."""
        path = self.store / 'alua' / f'lab_{group.tag}'
        path.mkdir()
        shell.write(path / 'tg_pt_gp_id', 10 + group.tag)
        shell.write(path / 'alua_access_type', 3)
        shell.write(group.root / 'lun' / f'lun_{lun}' / 'alua_tg_pt_gp', path.name)
        return path

    def close(self) -> None:
        """Remove the store, the loop device and the file (every LUN must be unmapped)."""
        if self.store.exists():
            for group in (self.store / 'alua').glob('lab_*'):
                group.rmdir()
            self.store.rmdir()
        if self._layer:
            self.thaw()
            shell.run('dmsetup', 'remove', '--retry', f'labstore-{self.name}')
        loops.detach(self.loop)
        self.image.unlink(missing_ok=True)


class Group:
    """One target portal group: some portals, and what can be seen through them."""

    def __init__(self, target: 'Target', tag: int, portals: Iterable[str]) -> None:
        self.target = target
        self.tag = tag
        self.portals = tuple(portals)
        self.root = target.root / f'tpgt_{tag}'
        self.root.mkdir()
        for portal in self.portals:
            (self.root / 'np' / portal).mkdir()
        for name, value in (
            ('authentication', 0),
            ('generate_node_acls', 1),
            ('demo_mode_write_protect', 0),
            ('cache_dynamic_acls', 1),
        ):
            shell.write(self.root / 'attrib' / name, value)
        self.enable()

    def enable(self) -> None:
        """Let initiators log in."""
        shell.write(self.root / 'enable', 1)

    def disable(self) -> None:
        """Drop every session and refuse new ones."""
        shell.write(self.root / 'enable', 0)

    def map(self, lun: int, volume: Volume) -> None:
        """Show a volume as this LUN."""
        link = self.root / 'lun' / f'lun_{lun}'
        link.mkdir(exist_ok=True)
        os.symlink(volume.store, link / volume.name)

    def unmap(self, lun: int) -> None:
        """Take the LUN away (the initiator is not told)."""
        directory = self.root / 'lun' / f'lun_{lun}'
        self._unlink(directory)
        directory.rmdir()

    def remap(self, lun: int, volume: Volume) -> None:
        """Put another volume behind a LUN (the initiator is not told)."""
        self._unlink(self.root / 'lun' / f'lun_{lun}')
        self.map(lun, volume)

    @staticmethod
    def _unlink(directory: pathlib.Path) -> None:
        for entry in directory.iterdir():
            if entry.is_symlink():
                entry.unlink()

    def chap(self, user: str, password: str) -> None:
        """Demand CHAP (one-way) of every initiator, without explicit access lists."""
        shell.write(self.root / 'auth' / 'userid', user)
        shell.write(self.root / 'auth' / 'password', password)
        shell.write(self.root / 'attrib' / 'authentication', 1)

    def only(self, initiator: str, luns: Iterable[int] = (), write: bool = True) -> None:
        """Admit just this initiator name (an explicit access list) and show it these LUNs."""
        shell.write(self.root / 'attrib' / 'generate_node_acls', 0)
        acl = self.root / 'acls' / initiator
        acl.mkdir(exist_ok=True)
        for lun in luns:
            (acl / f'lun_{lun}').mkdir()
            os.symlink(self.root / 'lun' / f'lun_{lun}', acl / f'lun_{lun}' / 'lun')
            shell.write(acl / f'lun_{lun}' / 'write_protect', 0 if write else 1)

    def iser(self, portal: str) -> None:
        """One more portal, over RDMA."""
        np = self.root / 'np' / portal
        np.mkdir(exist_ok=True)
        shell.write(np / 'iser', 1)

    def close(self) -> None:
        """Remove the group and everything in it."""
        self.disable()
        for acl in (self.root / 'acls').iterdir():
            for lun in acl.glob('lun_*'):
                self._unlink(lun)
                lun.rmdir()
            acl.rmdir()
        for lun in (self.root / 'lun').glob('lun_*'):
            self._unlink(lun)
            lun.rmdir()
        for portal in (self.root / 'np').iterdir():
            portal.rmdir()
        self.root.rmdir()


class Target:
    """One iSCSI target; with ``apart`` every portal is a group of its own."""

    def __init__(self, name: str, addresses: Iterable[str], *, apart: bool = False) -> None:
        self.iqn = name if name.startswith('iqn.') else IQN + name
        self.root = ISCSI / self.iqn
        self.root.mkdir()
        portals = [net.portal(address) for address in addresses]
        shares = [[portal] for portal in portals] if apart else [portals]
        self.groups = [Group(self, n, share) for n, share in enumerate(shares, 1)]

    @property
    def portals(self) -> list[str]:
        """``address:port`` of every portal, in the order they were given."""
        return [portal for group in self.groups for portal in group.portals]

    def map(self, lun: int, volume: Volume) -> None:
        """Show a volume as this LUN on every portal."""
        for group in self.groups:
            group.map(lun, volume)

    def unmap(self, lun: int) -> None:
        """Take the LUN away on every portal."""
        for group in self.groups:
            group.unmap(lun)

    def remap(self, lun: int, volume: Volume) -> None:
        """Put another volume behind the LUN on every portal."""
        for group in self.groups:
            group.remap(lun, volume)

    def chap(self, user: str, password: str) -> None:
        """Demand CHAP on every portal."""
        for group in self.groups:
            group.chap(user, password)

    def properties(self, lun: int, *, plural: bool = False, **more: object) -> dict[str, object]:
        """Connection properties as Cinder would write them; ``plural`` adds the lists."""
        props: dict[str, object] = {
            'target_discovered': False,
            'target_portal': self.portals[0],
            'target_iqn': self.iqn,
            'target_lun': lun,
            'volume_id': f'lab-{lun}',
        }
        if plural:
            count = len(self.portals)
            props['target_portals'] = self.portals
            props['target_iqns'] = [self.iqn] * count
            props['target_luns'] = [lun] * count
        props.update(more)
        return props

    def close(self) -> None:
        """Remove the target."""
        for group in self.groups:
            group.close()
        self.root.rmdir()


def discovery_chap(user: str = '', password: str = '') -> None:
    """Demand CHAP for discovery, or (without arguments) no longer."""
    auth = ISCSI / 'discovery_auth'
    if user:
        shell.write(auth / 'userid', user)
        shell.write(auth / 'password', password)
    shell.write(auth / 'enforce_discovery_auth', 1 if user else 0)


def clear() -> None:
    """Remove every target and store of the lab that an earlier, killed run left."""
    for root in ISCSI.glob(IQN + '*') if ISCSI.exists() else ():
        target = Target.__new__(Target)
        target.root = root
        target.groups = []
        for path in root.glob('tpgt_*'):
            group = Group.__new__(Group)
            group.root = path
            target.groups.append(group)
        target.close()
    for store in CORE.iterdir() if CORE.exists() else ():
        if store.is_dir():
            store.rmdir()
    loops.forget('lab-*.img')
