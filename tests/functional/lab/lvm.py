# SPDX-License-Identifier: Apache-2.0
"""A volume group on device-mapper devices over files in RAM, which LVM sees alone."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import tempfile

from tests.functional.lab import loops, shell

# LVM looks at our devices only, starts no daemon, and keeps its backups here.
_CONFIG = """
devices {{
    filter = [ "a|^/dev/mapper/labstore-pv.*|", "r|.*|" ]
    use_devicesfile = {devices_file}
}}
activation {{ monitoring = 0 retry_deactivation = 0 }}
global {{ use_lvmpolld = 0 }}
{more}
"""

# One extent of the first device.
_VOLUME = """
v{number} {{
    id = "labVol-0000-0000-0000-0000-0000-{number:06}"
    status = ["READ", "WRITE", "VISIBLE"]
    flags = []
    segment_count = 1
    segment1 {{
        start_extent = 0
        extent_count = 1
        type = "striped"
        stripe_count = 1
        stripes = ["pv0", {number}]
    }}
}}
"""


class Device:
    """A physical volume: its table can be changed below LVM."""

    def __init__(self, number: int, megabytes: int) -> None:
        self.label = f'labstore-pv{number}'
        self.image = pathlib.Path(f'/dev/shm/lablvm-{number}.img')
        self.image.write_bytes(b'')
        os.truncate(self.image, megabytes << 20)
        self.loop = loops.attach(self.image)
        self._sectors = megabytes << 11
        shell.run('dmsetup', 'create', self.label, '--table', self._table)

    @property
    def _table(self) -> str:
        return f'0 {self._sectors} linear {self.loop} 0'

    @property
    def path(self) -> str:
        return f'/dev/mapper/{self.label}'

    def suspend(self) -> None:
        """Have whatever reads or writes it wait."""
        shell.run('dmsetup', 'suspend', '--noflush', '--nolockfs', self.label)

    def resume(self) -> None:
        shell.run('dmsetup', 'resume', self.label)

    def lose(self) -> None:
        """Take it away; nothing may have it open."""
        shell.run('dmsetup', 'remove', '--retry', self.label)

    def find(self) -> None:
        """Have it again after ``lose``."""
        shell.run('dmsetup', 'create', self.label, '--table', self._table)
        shell.settle()

    def close(self) -> None:
        shell.run('dmsetup', 'remove', '--retry', self.label, check=False)
        loops.detach(self.loop)
        self.image.unlink()


class Group:
    """A volume group and its devices; ``conf`` is the configuration of LVM for all who use it."""

    def __init__(
        self, name: str = 'lab-gold', count: int = 3, megabytes: int = 128, first: int = 0
    ) -> None:
        shell.modules('dm-snapshot', 'dm-thin-pool', 'dm-raid')
        self.name = name
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix='lab-lvm-'))
        self.conf = self.directory / 'lvm.conf'
        self.configure()
        numbers = range(first, first + count)
        self.devices = [Device(number, megabytes) for number in numbers]
        shell.settle()

    def configure(self, more: str = '', *, devices_file: bool = False) -> None:
        """Write the configuration, with more in it."""
        self.conf.write_text(_CONFIG.format(more=more, devices_file=int(devices_file)))

    def create(self) -> None:
        """Make the group from the outside."""
        self.run('vgcreate', self.name, *(device.path for device in self.devices))

    def run(self, *argv: str, check: bool = True) -> str:
        """One of LVM's tools."""
        prefix = ('env', 'LC_ALL=C', f'LVM_SYSTEM_DIR={self.directory}')
        return shell.run(*prefix, 'LVM_SUPPRESS_FD_WARNINGS=1', *argv, check=check)

    def volumes(self) -> dict[str, dict[str, str]]:
        """What is there: of each volume attributes, size in bytes, origin, pool."""
        fields = 'lv_name,lv_attr,lv_size,origin,pool_lv,data_percent'
        words = ('--reportformat', 'json', '--units', 'b', '--nosuffix', '-o', fields)
        report = json.loads(self.run('lvs', *words, self.name))['report'][0]['lv']
        return {row['lv_name']: row for row in report}

    def fill(self, count: int) -> None:
        """Have so many volumes of one extent, ``v0`` and on, at once: by a changed backup."""
        backup = self.directory / 'many.vg'
        self.run('vgcfgbackup', '-f', str(backup), self.name)
        head, brace, rest = backup.read_text().rpartition('}')
        assert brace
        assert 'logical_volumes' not in head
        volumes = ''.join(_VOLUME.format(number=number) for number in range(count))
        backup.write_text(f'{head}logical_volumes {{\n{volumes}}}\n}}{rest}')
        self.run('vgcfgrestore', '-f', str(backup), self.name)

    def empty(self) -> None:
        """Remove every volume."""
        self.run('lvremove', '-f', self.name, check=False)
        shell.settle()

    def close(self) -> None:
        """Remove group and devices."""
        self.run('vgremove', '-f', self.name, check=False)
        shell.settle()
        for device in self.devices:
            device.close()
        shutil.rmtree(self.directory)


def forget() -> None:
    """Remove what a run that was killed has left."""
    for line in shell.run('dmsetup', 'ls', check=False).splitlines():
        name = line.split()[0]
        if name.startswith('lab--'):
            shell.run('dmsetup', 'remove', '--force', name, check=False)
    for path in pathlib.Path('/dev/mapper').glob('labstore-pv*'):
        shell.run('dmsetup', 'remove', '--force', path.name, check=False)
    loops.forget('lablvm-*.img')
