# SPDX-License-Identifier: Apache-2.0
"""What keeps a SCSI volume's devices from being removed, and what only looks at them for a moment.

Each case is a host before, a change to it, and whether the device may go then.
"""

from collections.abc import Callable, Iterator
import pathlib

import pytest

from os_brick import exception
from os_brick.core import wait
from os_brick.host import idle, scsi, survey
from os_brick.plans import choice as plans_choice
from os_brick.plans import removal as plans
from tests.unit.fakehost import array
from tests.unit.fakehost import host as fake_host

Host = fake_host.Host
MOMENT, TOO_LONG = idle.CLAIM_SECONDS / 4, idle.CLAIM_SECONDS * 4


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[Host]:
    """A host with the disk sda, and the map dm-0 of another volume over sdb and sdc."""
    with Host(tmp_path) as found:
        for number in range(2):
            target = found.target(f't{number}', portals=2)
            target.luns[1] = array.Unit('gold' if number else 'lone')
            for portal in target.portals[: number + 1]:
                found.find_lun(found.log_in(target, portal), 1)
        found.settle()
        assert found.claim('sdb')
        assert found.claim('sdc')
        assert list(found.disks) == ['sda', 'sdb', 'sdc']
        yield found


def mount(host: Host, name: str) -> Callable[[], object]:
    number = host.tree.at(f'/sys/class/block/{name}/dev').read_text().strip()
    line = f'36 25 {number} / /srv rw - ext4 /dev/{name} rw\n'
    host.tree.file('/proc/self/mountinfo', line)
    return lambda: host.tree.file('/proc/self/mountinfo')


def swap(host: Host, name: str) -> Callable[[], object]:
    host.tree.file('/proc/swaps', f'Filename\tType\n/dev/{name} partition\n')
    return lambda: host.tree.file('/proc/swaps')


def claim(host: Host, name: str) -> Callable[[], object]:
    host.claims.add(name)
    return lambda: host.claims.discard(name)


def have_open(host: Host, name: str) -> Callable[[], object]:
    host.maps[name].open_count = 1

    def close() -> None:
        host.maps[name].open_count = 0

    return close


def process(host: Host, name: str, command: str = 'dd') -> Callable[[], object]:
    host.tree.value('/proc/4711/comm', command)
    host.tree.directory('/proc/4711/fd')
    host.tree.at('/proc/4711/fd/3').symlink_to(f'/dev/{name}')  # As proc(5) shows it: absolute.
    return lambda: host.tree.remove('/proc/4711')


def step_of(*names: str) -> plans.Step:
    """The first step of a plan that removes disks, as the host is now."""
    found, wanted = survey.of_disks(names), plans_choice.Wanted('the volume')
    return plans.plan(plans_choice.choose(found, wanted), wanted).steps[0]


USES = [
    # What is done, to which device, which disks are to go, and whether that keeps them.
    (mount, 'sda', ['sda'], 'mount on /srv'),
    (mount, 'dm-0', ['sdb', 'sdc'], 'mount on /srv'),
    (mount, 'sdb', ['sda'], ''),
    (swap, 'sda', ['sda'], 'swap space sda'),
    (swap, 'dm-0', ['sdb', 'sdc'], 'swap space dm-0'),
    (claim, 'sda', ['sda'], 'a holder that has claimed sda'),
    (claim, 'sdb', ['sda'], ''),
    # Whether a map that goes is open is asked once it has been flushed.
    (have_open, 'dm-0', ['sdb', 'sdc'], ''),
]


@pytest.mark.parametrize(('use', 'device', 'disks', 'holder'), USES)
@pytest.mark.parametrize('seconds', [0, MOMENT, TOO_LONG])
def test_a_volume_in_use(
    host: Host,
    use: Callable[[Host, str], Callable[[], object]],
    device: str,
    disks: list[str],
    holder: str,
    seconds: float,
) -> None:
    """What ends within a moment is waited for; nothing changes on the host."""
    end = use(host, device)
    step = step_of(*disks)
    host.clock.after(seconds, end)
    before = host.tree.snapshot()
    if holder and seconds == TOO_LONG:
        with pytest.raises(exception.VolumeInUse) as caught:
            idle.require_unused(step)
        assert holder in caught.value.holder
        assert host.tree.snapshot() == before
    else:
        idle.require_unused(step)


def test_a_use_that_begins_after_the_survey_is_seen_if_one_was_found(host: Host) -> None:
    """Each further look is at the host as it is then: one user has ended, another has come."""
    end = swap(host, 'sda')
    step = step_of('sda')
    end()
    mount(host, 'sda')
    with pytest.raises(exception.VolumeInUse) as caught:
        idle.require_unused(step)
    assert caught.value.holder == 'mount on /srv'
    assert caught.value.device == '/dev/sda'


def test_a_map_that_comes_meanwhile_is_not_a_claim(host: Host) -> None:
    """multipathd takes the disk between two looks, and has it open (O_EXCL) from then on."""
    host.claims.add('sda')
    step = step_of('sda')

    def take() -> None:
        host.claims.clear()
        assert host.claim('sda')

    host.clock.after(MOMENT, take)
    idle.require_unused(step)


@pytest.mark.parametrize(('seconds', 'is_kept'), [(MOMENT, False), (60, True)])
def test_a_map_that_is_open(host: Host, seconds: float, is_kept: bool) -> None:
    """For a moment only where udev looks at it."""
    wwid = host.maps['dm-0'].wwid
    host.clock.after(seconds, have_open(host, 'dm-0'))
    if is_kept:
        with pytest.raises(exception.VolumeInUse) as caught:
            idle.require_closed('dm-0', wwid, wait.Deadline.after(120))
        assert caught.value.device == '/dev/dm-0'
        assert '1 process(es)' in caught.value.holder
    else:
        idle.require_closed('dm-0', wwid, wait.Deadline.after(120))


def test_another_map_that_is_open_keeps_nothing(host: Host) -> None:
    have_open(host, 'dm-0')
    idle.require_closed('dm-0', host.disks['sda'].unit.wwid, wait.Deadline.after(120))


@pytest.mark.parametrize(
    ('command', 'device', 'seconds', 'is_kept'),
    [
        ('dd', 'sda', TOO_LONG, True),
        ('dd', 'sda', MOMENT, False),
        ('dd', 'sdb', TOO_LONG, False),
        # What looks at every device that changes (systemd-udevd names its workers so).
        ('(udev-worker)', 'sda', TOO_LONG, False),
    ],
)
def test_a_disk_that_a_process_has_open(
    host: Host, command: str, device: str, seconds: float, is_kept: bool
) -> None:
    disks = [('sda', scsi.number_of('sda'))]
    host.clock.after(seconds, process(host, device, command))
    if is_kept:
        with pytest.raises(exception.VolumeInUse) as caught:
            idle.require_unopened(disks)
        assert caught.value.holder == 'process 4711 (dd)'
    else:
        idle.require_unopened(disks)


def test_another_disk_of_the_name_is_not_asked_about(host: Host) -> None:
    """The one that was looked at has gone; who has the new one open is nothing to this removal."""
    number = scsi.number_of('sda')
    claim(host, 'sda')
    with pytest.raises(exception.VolumeInUse):
        idle.require_unopened([('sda', number)])
    idle.require_unopened([('sda', number + 1)])


@pytest.mark.parametrize(('seconds', 'is_kept'), [(MOMENT, False), (TOO_LONG, True)])
def test_a_claim(host: Host, seconds: float, is_kept: bool) -> None:
    host.clock.after(seconds, claim(host, 'sda'))
    if is_kept:
        with pytest.raises(exception.VolumeInUse):
            idle.require_free(['sda'])
    else:
        idle.require_free(['sda'])
