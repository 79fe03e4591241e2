# SPDX-License-Identifier: Apache-2.0
"""What is typed minutes later acts on the device that was found, as long as it is still wrong."""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

from os_brick.cmd import main
from os_brick.doctor import catalogue
from os_brick.doctor.examine import Finding
from tests.unit.doctor import test_examine
from tests.unit.doctor.conftest import Ward
from tests.unit.doctor.conftest import ward as ward  # noqa: PLC0414 the fixture

# Acts that take something from under its users.
ACTS = ('multipathd del path', '/delete', 'lvchange -an', 'dmsetup resume', 'multipathd del map')
GUARDED = {
    'identity-stale': ['multipathd del path sda'],
    'lun-unmapped': ['multipathd del path sda'],
    'orphan-disk': [],
    'map-mixed': ['multipathd del path sdb'],
    'lvm-active-on-volume': ['lvchange -an /dev/mapper/vg0-data'],
}


def test_no_repair_acts_by_a_name_that_may_be_anothers() -> None:
    """By a WWID or a UUID; or by a kernel's name whose device is looked at in the same line."""
    for entry in catalogue.entries().values():
        for text in (entry.repair, *entry.repairs.values()):
            acts = [act for act in ACTS if act in text]
            is_guarded = 'stat -c %i' in text and '= {number} ]' in text
            by_wwid = all(f'{act} {{wwid}}' in text or f'{act} WWID' in text for act in acts)
            by_uuid = acts == ['dmsetup resume'] and '--uuid mpath-{wwid}' in text
            assert is_guarded or by_wwid or by_uuid, (entry.id, text)


class Shell:
    """Runs a repair, with the fake host's sysfs, and programs that write down their arguments."""

    def __init__(self, ward: Ward, place: pathlib.Path) -> None:
        self._root = ward.host.tree.root
        self._place = place
        self._done = place / 'done'

    def stub(self, name: str, text: str) -> None:
        path = self._place / name
        path.write_text(f'#!/bin/sh\n{text}\n')
        path.chmod(0o755)

    def __call__(self, repair: str, still: str) -> list[str]:
        """What it does, if the doctor still finds these objects."""
        self._done.write_text('')
        for name in ('multipathd', 'lvchange'):
            self.stub(name, f'echo {name} "$@" >> {self._done}')
        self.stub('os-brick', f'printf "%s" "{still}"')
        match = re.search(r'if (os-brick|\[) .*; fi', repair)
        assert match is not None, repair
        text = (
            match[0]
            .replace(' /sys/', f' {self._root}/sys/')
            .replace('(/sys/', f'({self._root}/sys/')
        )
        path = f'{self._place}:{os.environ["PATH"]}'
        subprocess.run(['sh', '-c', text], check=True, env={'PATH': path}, timeout=20)
        return self._done.read_text().splitlines()


@pytest.fixture
def shell(ward: Ward, tmp_path: pathlib.Path) -> Shell:
    place = tmp_path / 'programs'
    place.mkdir()
    return Shell(ward, place)


def found(ward: Ward, name: str) -> Finding:
    test_examine.PLANTS[name](ward)
    return next(each for each in ward.examine().findings if each.id == name)


def deletes(ward: Ward) -> list[str]:
    """The disks whose ``delete`` was written to."""
    names = ward.host.disks
    path = '/sys/block/{}/device/delete'
    return [name for name in names if ward.host.tree.at(path.format(name)).read_text() == '1\n']


@pytest.mark.parametrize('name', GUARDED)
def test_it_acts_on_what_was_found(name: str, ward: Ward, shell: Shell) -> None:
    finding = found(ward, name)
    disk = finding.object
    assert shell(finding.repair, f'vdx\n{disk}\n') == GUARDED[name]
    has_delete = name in ('identity-stale', 'lun-unmapped', 'orphan-disk')
    assert deletes(ward) == ([disk] if has_delete else [])


@pytest.mark.parametrize('name', [each for each in GUARDED if each != 'lvm-active-on-volume'])
def test_it_does_nothing_where_all_is_well_by_then(
    name: str,
    ward: Ward,
    shell: Shell,
) -> None:
    finding = found(ward, name)
    for still in ('', f'{finding.object}x\n', 'vdx\n'):
        assert shell(finding.repair, still) == []
        assert deletes(ward) == []


@pytest.mark.parametrize('name', GUARDED)
def test_it_does_nothing_to_what_got_the_name(
    name: str,
    ward: Ward,
    shell: Shell,
) -> None:
    """Another device of that name, which has the same fault: its users are others."""
    finding = found(ward, name)
    device = finding.evidence.get('other') or finding.object
    link = ward.host.tree.at(f'/sys/block/{device}')
    real = pathlib.Path(os.path.realpath(link))
    shutil.copytree(real, real.with_name('copy'), symlinks=True)
    shutil.move(real, real.with_name('old'))
    shutil.move(real.with_name('copy'), real)
    assert shell(finding.repair, f'{finding.object}\n') == []
    assert deletes(ward) == []


def test_objects_are_printed_as_a_repair_reads_them(
    ward: Ward,
    capsys: pytest.CaptureFixture[str],
) -> None:
    disks = sorted(disk.name for disk in ward.map.disks)
    test_examine.PLANTS['identity-stale'](ward)
    main.main(['doctor', 'identity-stale', '-f', 'value', '-c', 'object'])
    assert sorted(capsys.readouterr().out.splitlines()) == disks
