# SPDX-License-Identifier: Apache-2.0
"""Mirrors over device-mapper members, which can be lost and found again; udev assembles, too."""

from collections.abc import Callable, Iterator
import contextlib
import os
import pathlib

import pytest

from os_brick import exception
from os_brick.core import teardown, wait
from os_brick.core import undo as core_undo
from os_brick.host import md, nvme_growth, nvme_removal, nvme_survey
from os_brick.initiator.connectors import nvmeof_raid
from os_brick.plans import nvme_removal as plans
from tests import breadth
from tests.functional import lab, support

ALIAS = 'mirror-1'
PATH = f'/dev/md/{ALIAS}'
# One partition of type Linux, 1 MiB from the second MiB on.
MBR = bytes(446) + bytes.fromhex('0000000083000000') + bytes.fromhex('0008000000080000')
MBR = MBR.ljust(510, b'\0') + b'\x55\xaa'


# udev looks at a device-mapper device whenever someone has closed it, and has mdadm take it for
# an array at once; at NVMe namespaces only when they come.
RULE = pathlib.Path('/run/udev/rules.d/63-labmd.rules')
QUIET = 'ENV{DM_NAME}=="labstore-member*", ENV{SYSTEMD_READY}="0"\n'


class Member:
    """A device-mapper device over a loop device on a file in RAM."""

    def __init__(self, number: int, megabytes: int = 64) -> None:
        self.label = f'labstore-member{number}'
        self.image = pathlib.Path(f'/dev/shm/labmd-{number}.img')
        self.image.write_bytes(b'')
        os.truncate(self.image, megabytes << 20)
        self.loop = lab.loops.attach(self.image)
        lab.shell.run('dmsetup', 'create', self.label, '--table', self._table())

    def _table(self) -> str:
        return f'0 {self.image.stat().st_size // 512} linear {self.loop} 0'

    @property
    def path(self) -> str:
        return f'/dev/mapper/{self.label}'

    @property
    def name(self) -> str:
        return support.node(self.path)

    def _load(self, table: str) -> None:
        lab.shell.run('dmsetup', 'suspend', '--noflush', '--nolockfs', self.label)
        lab.shell.run('dmsetup', 'load', self.label, '--table', table)
        lab.shell.run('dmsetup', 'resume', self.label)
        lab.shell.settle()

    def lose(self) -> None:
        """Have every read and write fail."""
        self._load(f'0 {self.image.stat().st_size // 512} error')

    def heal(self) -> None:
        """Work again; the data is as it was."""
        self._load(self._table())

    def grow(self, megabytes: int) -> None:
        lab.loops.grow(self.loop, self.image, megabytes)
        self._load(self._table())

    def close(self) -> None:
        lab.shell.run('dmsetup', 'remove', '--retry', self.label)
        lab.loops.detach(self.loop)
        self.image.unlink()


@pytest.fixture
def members(shelf: lab.Testbed) -> Iterator[Callable[..., list[Member]]]:
    """Makes members; arrays over them are stopped, and they are removed."""
    made: list[Member] = []
    forget()
    RULE.parent.mkdir(exist_ok=True)
    quiet(QUIET)

    def make(count: int = 2, megabytes: int = 64) -> list[Member]:
        made.extend(Member(len(made) + number, megabytes) for number in range(count))
        lab.shell.settle()
        return made[-count:]

    yield make
    quiet(QUIET)
    for member in made:
        for array in md.arrays_over([member.name]):
            lab.shell.run('mdadm', '--stop', f'/dev/{array}', check=False)
    lab.shell.settle()
    for member in made:
        member.close()
    quiet('')


def forget() -> None:
    """Remove what a run that was killed has left."""
    left = sorted(pathlib.Path('/dev/mapper').glob('labstore-member*'))
    for array in md.arrays_over(support.node(str(path)) for path in left):
        lab.shell.run('mdadm', '--stop', f'/dev/{array}', check=False)
    for path in left:
        lab.shell.run('dmsetup', 'remove', '--retry', path.name)
    lab.loops.forget('labmd-*.img')


def quiet(rule: str) -> None:
    """Have udev assemble nothing of our members; or, without a rule, as ever."""
    if rule:
        RULE.write_text(rule)
    else:
        RULE.unlink(missing_ok=True)
    lab.shell.run('udevadm', 'control', '--reload')
    lab.shell.settle()


def bring(members: list[Member], alias: str = ALIAS, count: int = 2, **more: object) -> str:
    names = tuple(member.name for member in members)
    with core_undo.Undo() as undo:
        return nvmeof_raid.bring(alias, names, count, undo, wait.Deadline.after(60), **more)


def end(array: str, *, force: bool = False) -> None:
    steps = teardown.Teardown(teardown.OnError.of(force, False))
    removal = plans.plan((), nvme_survey.array(array))
    nvme_removal.run(removal, steps, wait.Deadline.after(60), force=force)
    steps.end()


def state(array: str, name: str) -> str:
    return lab.shell.read(f'/sys/block/{array}/md/{name}')


def synced(array: str) -> None:
    lab.shell.until(
        lambda: state(array, 'sync_action') == 'idle' and state(array, 'degraded') == '0',
        30,
        f'{array} in sync',
    )


def test_cycles_leave_nothing(members):
    """Made once, started again and again; the data stays, the host is as before each time."""
    both = members()
    before = lab.oracle.snapshot()
    uuids = set()
    for cycle in range(breadth.examples(4, 10)):
        array = bring(both)
        assert support.node(PATH) == array
        uuids.add(md.uuid(array))
        if cycle:
            assert support.read(PATH)[:8] == b'cycle %02d' % (cycle - 1)
        support.write(PATH, (b'cycle %02d' % cycle).ljust(4096, b'.'))
        end(array)
        assert not os.path.lexists(PATH)
        lab.oracle.assert_same(before)
    assert len(uuids) == 1


def test_udev_assembles_meanwhile(members):
    """Whatever it has begun, the array runs with all its members under its name."""
    both = members()
    end(bring(both))
    quiet('')
    for _cycle in range(3):
        array = bring(both)
        assert support.node(PATH) == array
        synced(array)
        end(array)


def test_members_are_equal_after_the_first_pass(members):
    """What was on the members before (and no signature shows) is the same on both."""
    both = members()
    for number, member in enumerate(both):
        with member.image.open('r+b') as image:
            image.seek(32 << 20)
            image.write(b'member %d' % number * 1000)
    array = bring(both)
    synced(array)
    end(array)
    offset = 2 << 20
    first, second = (member.image.read_bytes()[offset:] for member in both)
    assert first == second


def test_degraded_start_and_a_member_that_comes_back(members):
    one, two = both = members()
    array = bring(both)
    synced(array)
    end(array)
    array = bring([one])
    assert state(array, 'degraded') == '1'
    support.write(PATH, b'without two'.ljust(4096, b'.'), 1 << 20)
    end(array)
    array = bring(both)
    synced(array)
    end(array)
    array = bring([two])
    assert support.read(PATH, offset=1 << 20)[:11] == b'without two'
    end(array)


def test_a_member_lost_during_writes_and_found_again(members):
    """A second attach takes it back while the array is in use."""
    both = members()
    array = bring(both)
    synced(array)
    both[1].lose()
    support.write(PATH, b'one member'.ljust(4096, b'.'), 2 << 20)
    lab.shell.until(lambda: state(array, 'degraded') == '1', 10, 'the loss')
    support.write(PATH, b'one member'.ljust(4096, b'.'), 3 << 20)
    both[1].heal()
    assert bring(both) == array
    synced(array)
    end(array)
    array = bring(both[1:])
    assert support.read(PATH, offset=3 << 20)[:10] == b'one member'
    end(array)


@pytest.fixture
def connections(shelf: lab.Testbed) -> Iterator[Callable[[lab.nvmet.Subsystem], str]]:
    """Connects to a subsystem; arrays and controllers are gone before the subsystems go."""
    made: list[str] = []

    def connect(subsystem: lab.nvmet.Subsystem) -> str:
        made.append(lab.nvmet.connect(subsystem))
        return made[-1]

    yield connect
    array = md.array_named(ALIAS)
    if array:
        lab.shell.run('mdadm', '--stop', f'/dev/{array}', check=False)
    for name in made:
        lab.nvmet.disconnect(name)


def namespace(store: lab.nvmet.Store) -> str:
    """The kernel's name of the namespace that shows a store, once it is there."""

    def find() -> str:
        for head in support.SYS.glob('block/nvme*n*'):
            # Not the paths below it, such as nvme1c1n1.
            if 'c' not in head.name and lab.shell.read(head / 'uuid') == store.uuid:
                return head.name
        return ''

    lab.shell.until(find, 10, f'the namespace of {store.name}')
    lab.shell.settle()
    return find()


def test_a_namespace_that_goes_and_comes_back(shelf, connections):
    """Its device is gone, and comes with another name as long as the array holds the old one."""
    stores = [shelf.store(f'mirror{number}', 64) for number in range(2)]
    subsystems = [shelf.subsystem(store.name) for store in stores]
    for store, subsystem in zip(stores, subsystems, strict=True):
        subsystem.map(1, store)
    controllers = [connections(subsystem) for subsystem in subsystems]
    names = tuple(namespace(store) for store in stores)

    def attach(members: tuple[str, ...]) -> str:
        with core_undo.Undo() as undo:
            return nvmeof_raid.bring(ALIAS, members, 2, undo, wait.Deadline.after(60))

    array = attach(names)
    synced(array)
    lab.nvmet.disconnect(controllers[1])
    support.write(PATH, b'one member'.ljust(4096, b'.'), 3 << 20)
    lab.shell.until(lambda: state(array, 'degraded') == '1', 10, 'the loss')
    controllers[1] = connections(subsystems[1])
    back = (names[0], namespace(stores[1]))
    assert attach(back) == array
    synced(array)
    assert nvmeof_raid.array_of(ALIAS, back) == array
    end(array)
    assert attach(back[1:])
    assert support.read(PATH, offset=3 << 20)[:10] == b'one member'
    for controller in controllers:
        lab.nvmet.disconnect(controller)
    (array,) = filter(None, [nvmeof_raid.array_of(ALIAS, ())])
    end(array)


@pytest.mark.parametrize('index', [0, 1])
def test_a_member_that_fails_at_the_start(members, index):
    both = members()
    end(bring(both))
    both[index].lose()
    array = bring(both)
    support.write(PATH, b'one member'.ljust(4096, b'.'))
    assert state(array, 'degraded') == '1'
    end(array)


def test_members_used_apart_are_not_mixed(members):
    one, two = both = members()
    array = bring(both)
    synced(array)
    end(array)
    for member in both:
        array = bring([member])
        support.write(PATH, b'x' * 4096)
        end(array)
    seen = [member.image.read_bytes() for member in both]
    with pytest.raises(exception.BrickException, match='without the other') as caught:
        bring(both)
    assert one.name in str(caught.value)
    assert two.name in str(caught.value)
    assert [member.image.read_bytes() for member in both] == seen


def test_left_half_assembled_by_others(members):
    """An inactive array of one member, as udev leaves it while it waits for the second."""
    both = members()
    end(bring(both))
    lab.shell.run('mdadm', '--incremental', both[0].path)
    (half,) = md.arrays_over([both[0].name])
    assert not md.is_running(half)
    array = bring(both)
    synced(array)
    end(array)


def test_running_under_another_name(members):
    both = members()
    end(bring(both))
    paths = [member.path for member in both]
    lab.shell.run('mdadm', '--assemble', '/dev/md/other', '--config=none', '--run', *paths)
    array = bring(both)
    assert support.node(PATH) == array
    assert not os.path.lexists('/dev/md/other')
    end(array)
    lab.shell.run('mdadm', '--assemble', '/dev/md/other', '--config=none', '--run', *paths)
    with open('/dev/md/other', 'rb'), pytest.raises(exception.VolumeInUse):
        bring(both)
    end(md.arrays_over([both[0].name])[0])


@pytest.mark.parametrize('kind', ['ext4', 'mbr', 'luks', 'raw', 'array', 'end'])
def test_what_is_on_a_member_stays(members, kind):
    """Neither made into a new array nor taken into an old one."""
    one, two, three = members(3)
    if kind == 'ext4':
        lab.shell.run('mkfs.ext4', '-q', two.path)
    elif kind == 'mbr':
        support.write(two.path, MBR.ljust(4096, b'\0'))
    elif kind == 'luks':
        support.write(two.path, b'LUKS\xba\xbe\x00\x01'.ljust(4096, b'\0'))
    elif kind == 'raw':
        support.write(two.path, b'\0' * 512 + b'database'.ljust(3584, b'\0'))
    elif kind == 'end':
        support.write(two.path, b'\0' * 4095 + b'1', (64 << 20) - 4096)
    else:
        end(bring([two, three], 'another'))
    seen = [member.image.read_bytes() for member in (one, two)]
    with pytest.raises(exception.VolumeIdentityMismatch, match=two.name):
        bring([one, two])
    assert [member.image.read_bytes() for member in (one, two)] == seen
    assert not md.arrays_over([one.name, two.name])


def test_too_few_members_for_a_new_array(members):
    with pytest.raises(exception.VolumeDeviceNotFound, match=ALIAS):
        bring(members(1))


def test_in_use(members):
    both = members()
    array = bring(both)
    with open(PATH, 'rb'):
        for force in (False, True):
            with pytest.raises((exception.VolumeInUse, exception.ExceptionChainer), match='open'):
                end(array, force=force)
    lab.shell.run('mkfs.ext4', '-q', PATH)
    place = pathlib.Path('/run/labmd')
    place.mkdir()
    lab.shell.run('mount', PATH, str(place))
    with pytest.raises(exception.VolumeInUse, match=str(place)):
        end(array)
    lab.shell.run('umount', str(place))
    place.rmdir()
    end(array)


def grown(array: str) -> int:
    return nvme_growth.grow_array(nvme_survey.array(array), wait.Deadline.after(30))


def test_grow_while_members_are_copied(members):
    both = members()
    array = bring(both)
    for member in both:
        member.grow(96)
    size = grown(array)
    assert 94 << 20 <= size == support.size(PATH) <= 96 << 20
    assert grown(array) == size
    synced(array)
    end(array)


def test_grow_degraded(members):
    one, two = both = members()
    end(bring(both))
    array = bring([one])
    one.grow(96)
    assert grown(array) > 90 << 20
    two.grow(96)
    assert bring(both) == array
    synced(array)
    end(array)


def test_single(members):
    one, two = both = members()
    deadline = wait.Deadline.after(60)
    with core_undo.Undo() as undo:
        assert nvmeof_raid.single(one.name, ALIAS, undo, deadline) == one.name
    end(bring(both))
    for alias in (ALIAS, None):
        with core_undo.Undo() as undo:
            array = nvmeof_raid.single(two.name, alias, undo, deadline)
        assert support.node(PATH) == array
        assert nvmeof_raid.array_of(ALIAS, (two.name,)) == array
        assert nvmeof_raid.array_of('another', (two.name,)) is None
        # A host without a member of it has only its name in common with it.
        assert nvmeof_raid.array_of(ALIAS, ()) is None
        end(array)
    with (
        core_undo.Undo() as undo,
        pytest.raises(exception.VolumeIdentityMismatch, match=ALIAS),
    ):
        nvmeof_raid.single(two.name, 'another', undo, deadline)


def test_a_guests_own_array_is_content(members):
    (member,) = members(1)
    words = ('--run', '--force', '--level=1', '--raid-devices=1', '--homehost=guest')
    made = ('mdadm', '--create', '/dev/md/g0', '--config=none', '--name=0')
    lab.shell.run(*made, *words, member.path)
    # Who opens its node once it is stopped makes it anew, without members: udev, if it is late.
    lab.shell.settle()
    lab.shell.run('mdadm', '--stop', '/dev/md/g0')
    lab.shell.settle()
    with core_undo.Undo() as undo:
        name = nvmeof_raid.single(member.name, ALIAS, undo, wait.Deadline.after(60))
    assert name == member.name


def test_a_failing_attach_stops_what_it_started(members):
    both = members()
    names = tuple(member.name for member in both)
    for _made_then_started in range(2):
        with contextlib.suppress(ZeroDivisionError), core_undo.Undo() as undo:
            nvmeof_raid.bring(ALIAS, names, 2, undo, wait.Deadline.after(60))
            raise ZeroDivisionError
        assert not md.arrays_over(names)
        assert not os.path.lexists(PATH)
    array = bring(both)
    with contextlib.suppress(ZeroDivisionError), core_undo.Undo() as undo:
        assert nvmeof_raid.bring(ALIAS, names, 2, undo, wait.Deadline.after(60)) == array
        raise ZeroDivisionError
    assert md.is_running(array), 'it ran before'
    with contextlib.suppress(ZeroDivisionError), core_undo.Undo() as undo:
        nvmeof_raid.bring(ALIAS, names, 2, undo, wait.Deadline.after(60), attached_before=())
        raise ZeroDivisionError
    assert not md.arrays_over(names), 'udev had started it over members that were new'


def test_gone_without_its_members(members):
    """Every member fails: without force the data is not given up in silence, with it all ends."""
    both = members()
    array = bring(both)
    synced(array)
    for member in both:
        member.lose()
    with contextlib.suppress(OSError):
        support.write(PATH, b'x' * 4096)
    with contextlib.suppress(exception.ExceptionChainer):
        end(array, force=True)
    assert not md.is_array(array)
    for member in both:
        member.heal()
