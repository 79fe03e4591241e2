# SPDX-License-Identifier: Apache-2.0
"""One volume, and callers who name different paths to it: they are kept apart by its WWID.

The key of a volume's lock is made of the paths that a caller names, so two such callers have
different ones, in one process or in two.
"""

from collections.abc import Callable, Iterator
import contextlib
import errno
import itertools
import pathlib
import subprocess
import sys
import threading
import time
from typing import Any

from oslo_concurrency import processutils
from oslo_config import cfg
import pytest

from os_brick import exception
from os_brick.core import background, locks, wait
from os_brick.initiator.connectors import fibre_channel, iscsi
from os_brick.paths import path_set
from os_brick.request import iscsi as request_iscsi
from tests import breadth
from tests.unit.fakehost import array, fabric
from tests.unit.fakehost import host as fake_host

Host = fake_host.Host
ERRORS = (exception.BrickException, processutils.ProcessExecutionError, OSError)
# After so long without an act the other caller waits for a lock, or has ended.
QUIET_SECONDS = 0.02
OTHER_SECONDS = 30.0


class Two:
    """The two callers: one names the target ``a``, the other ``b``; one volume is behind both."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.unit = array.Unit('gold')
        self.targets = {name: host.target(name) for name in ('a', 'b')}
        for target in self.targets.values():
            target.luns[1] = self.unit
        self.bricks = {name: iscsi.ISCSIConnector(None, use_multipath=True) for name in 'ab'}
        self.infos: dict[str, dict[str, str]] = {}
        self.errors: dict[str, Exception] = {}

    def run(self, name: str, what: str) -> None:
        """One call of one caller."""
        brick, props = self.bricks[name], self.targets[name].properties()
        try:
            if what == 'attach':
                self.infos[name] = brick.connect_volume(props)
            elif what == 'extend':
                brick.extend_volume(props)
            else:
                brick.disconnect_volume(props, self.infos.get(name))
        except ERRORS as error:
            self.errors[name] = error

    def run_within(self, number: int, first: str, second: str) -> bool:
        """Have ``b`` call while ``a`` is about to do its act number ``number``; whether it had."""
        acts = itertools.count()
        other = threading.Thread(target=self.run, args=('b', second), daemon=True)

        def strike(what: str) -> None:
            if threading.current_thread() is not other and next(acts) == number:
                other.start()
                self.let_go_on(other)

        self.host.before_act = strike
        self.run('a', first)
        self.host.before_act = lambda what: None
        struck = other.ident is not None
        if struck:
            other.join(OTHER_SECONDS)
            assert not other.is_alive()
        self.host.settle()
        return struck

    def let_go_on(self, other: threading.Thread) -> None:
        acts = -1
        while other.is_alive() and acts != len(self.host.acts):
            acts = len(self.host.acts)
            other.join(QUIET_SECONDS)

    def assert_whole(self) -> None:
        """The volume is here as a whole, or not at all."""
        host = self.host
        mapped = [disk for found in host.maps.values() for disk in found.disks]
        assert sorted(disk.name for disk in mapped) == sorted(host.disks)
        assert len(host.maps) <= 1
        assert {disk.session.number for disk in mapped} == set(host.sessions)


@pytest.fixture
def two(host: Host) -> Two:
    """The callers, and nothing attached."""
    return Two(host)


def end(two: Two, before: dict[str, str]) -> None:
    """Whatever has happened, a detach of each leaves the host as it was."""
    two.assert_whole()
    two.errors.clear()
    for name in 'ab':
        two.run(name, 'detach')
    assert not two.errors
    assert two.host.snapshot() == before


COURSES = [
    *(('', 'attach', 'detach'), ('', 'attach', 'attach'), ('b', 'attach', 'detach')),
    *(('ab', 'detach', 'attach'), ('ab', 'detach', 'detach'), ('ab', 'extend', 'detach')),
    *(('ab', 'detach', 'extend'), ('b', 'attach', 'extend')),
]
# Not at every act, for the time that it takes; each course has acts of its own.
STRIDE = 14


@pytest.mark.parametrize(('attached', 'first', 'second'), COURSES)
def test_kept_apart(tmp_path: pathlib.Path, attached: str, first: str, second: str) -> None:
    """The other begins in the middle; the end is that of one after the other."""
    start = COURSES.index((attached, first, second)) % 3
    for number in range(start, 200, 3 if breadth.EVERYTHING else STRIDE):
        with Host(tmp_path / f'{number}') as host:
            two = Two(host)
            before = host.snapshot()
            for name in attached:
                two.run(name, 'attach')
            assert not two.errors
            if 'attach' not in (first, second):
                two.unit.megabytes += 32
            if not two.run_within(number, first, second):
                assert number > start
                return
            if first == second:
                assert not two.errors
            if first != 'attach' and second == 'detach':
                assert not host.disks
            if first == second == 'attach':
                assert len(host.disks) == 2
            end(two, before)
    raise AssertionError('an operation without end')


TAKING_BACK = ['multipathd del map', 'multipathd del path', "'delete', '1'", '--logout']


@pytest.mark.parametrize('begins_at', TAKING_BACK)
def test_an_attach_that_fails_takes_back_nothing_that_another_was_given(
    two: Two, begins_at: str
) -> None:
    """Its map is about to be given to the other while it is taken back."""
    host = two.host
    before = host.snapshot()
    other = threading.Thread(target=two.run, args=('b', 'attach'), daemon=True)

    first = threading.Lock()

    def strike(what: str) -> None:
        if threading.current_thread() is other:
            return
        if what.startswith('_read_start') and not other.ident:
            raise OSError(errno.EIO, 'Input/output error')
        if begins_at in what and first.acquire(blocking=False):
            other.start()
            two.let_go_on(other)

    host.before_act = strike
    two.run('a', 'attach')
    host.before_act = lambda what: None
    assert 'a' in two.errors
    assert other.ident
    other.join(OTHER_SECONDS)
    host.settle()
    assert 'b' not in two.errors
    (found,) = host.maps.values()
    assert two.infos['b']['path'] == f'/dev/{found.name}'
    end(two, before)


def comes_true(condition: Callable[[], bool], seconds: float = 15.0) -> bool:
    """Whether threads in the background bring it about in time, in real seconds."""
    ends = time.monotonic() + seconds
    while not condition() and time.monotonic() < ends:
        time.sleep(0.01)
    return condition()


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes on in the background tries again without much of a pause."""
    monkeypatch.setattr(path_set, 'RETRY_PAUSES', background.Pauses(0.05, 0.2))


@pytest.mark.usefixtures('soon')
def test_a_late_path_waits_for_the_identity(host: Host) -> None:
    """A detach by other paths would take the map apart while the path joins it."""
    target = host.target('t', portals=2)
    target.luns[1] = array.Unit('gold')
    target.portals[1].close()
    brick = iscsi.ISCSIConnector(None, use_multipath=True)
    props = target.properties(plural=True)
    info = brick.connect_volume(props)
    (work,) = background._running
    with locks.hold_identity(info['scsi_wwn'], wait.Deadline.after(5)):
        target.portals[1].open()
        assert comes_true(lambda: len(host.disks) == 2)
        assert not work.ended.wait(10 * QUIET_SECONDS)
    assert work.ended.wait(15)
    (found,) = host.maps.values()
    assert len(found.disks) == 2


@pytest.mark.usefixtures('soon')
def test_a_disk_comes_back_while_no_other_has_the_identity(host: Host) -> None:
    target = host.target('t', portals=2)
    target.luns[1] = array.Unit('gold')
    brick = iscsi.ISCSIConnector(None, use_multipath=True)
    props = target.properties(plural=True)
    info = brick.connect_volume(props)
    (found,) = host.maps.values()
    short = found.disks[1]
    host.set_state(short, 'transport-offline')
    target.luns[1].megabytes += 32
    brick.extend_volume(props)
    assert short not in found.disks
    with locks.hold_identity(info['scsi_wwn'], wait.Deadline.after(5)):
        host.set_state(short, 'running')
        assert not comes_true(lambda: short in found.disks, 20 * QUIET_SECONDS)
    assert comes_true(lambda: short in found.disks)


HOLDER = """
import sys
from oslo_config import cfg
from os_brick import opts
from os_brick.core import locks, wait
cfg.CONF([], project='x', default_config_files=[])
cfg.CONF.set_override('lock_path', sys.argv[1], group='os_brick')
with locks.hold_identity(sys.argv[2], wait.Deadline.after(20)):
    print('held', flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def held_elsewhere(wwid: str) -> Iterator[Callable[[], object]]:
    """Another process holds the lock of a WWID, until the function is called."""
    words = [sys.executable, '-c', HOLDER, cfg.CONF.os_brick.lock_path, wwid]
    pipes = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE}
    with subprocess.Popen(words, text=True, **pipes) as child:  # type: ignore[call-overload]
        assert child.stdout.readline() == 'held\n'
        yield child.communicate
        child.kill()


@pytest.mark.parametrize('what', ['attach', 'extend', 'detach'])
def test_another_process_by_another_path(two: Two, what: str) -> None:
    if what != 'attach':
        two.run('a', 'attach')
    cfg.CONF.set_override('operation_timeout', 1.2, group='os_brick')
    try:
        with held_elsewhere(two.unit.wwid):
            two.run('a', what)
            assert isinstance(two.errors['a'], exception.OperationTimedOut)
            assert f'identity {two.unit.wwid}' in str(two.errors.pop('a'))
    finally:
        cfg.CONF.clear_override('operation_timeout', group='os_brick')
    two.run('a', what)
    assert not two.errors


RANKS = {locks.VOLUME: 0, locks.IDENTITY: 1, locks.TARGET: 2}


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """The kinds of the locks that a thread held, and of the one that it took, at each take."""
    found: list[tuple[str, ...]] = []
    local = threading.local()

    def noting(take: Any) -> Any:
        @contextlib.contextmanager
        def noted(kind: str, *args: Any) -> Iterator[None]:
            held: list[str] = local.__dict__.setdefault('held', [])
            with take(kind, *args):
                found.append((*held, kind))
                held.append(kind)
                try:
                    yield
                finally:
                    held.remove(kind)

        return noted

    monkeypatch.setattr(locks, 'hold', noting(locks.hold))
    monkeypatch.setattr(locks, 'hold_all', noting(locks.hold_all))
    return found


def assert_order(taken: list[tuple[str, ...]]) -> None:
    """Each is taken after those that come before it in the table, and none twice."""
    for kinds in taken:
        ranks = [RANKS[kind] for kind in kinds]
        assert ranks == sorted(set(ranks)), kinds
    assert {kinds[-1] for kinds in taken} == set(RANKS)


@pytest.mark.usefixtures('soon')
def test_order_of_locks(host: Host, taken: list[tuple[str, ...]]) -> None:
    """Attach, a late path, extend with a path that comes back, a failing attach, and detach."""
    target = host.target('t', portals=3)
    target.luns[1] = array.Unit('gold')
    target.portals[2].close()
    brick = iscsi.ISCSIConnector(None, use_multipath=True)
    props = target.properties(plural=True)
    info = brick.connect_volume(props)
    target.portals[2].open()
    (found,) = host.maps.values()
    assert comes_true(lambda: len(found.disks) == 3)
    short = found.disks[1]
    host.set_state(short, 'transport-offline')
    target.luns[1].megabytes += 32
    brick.extend_volume(props)
    assert short not in found.disks
    host.set_state(short, 'running')
    assert comes_true(lambda: short in found.disks)
    brick.disconnect_volume(props, info)
    host.fail(12, 'refused')
    with contextlib.suppress(*ERRORS):
        brick.connect_volume(props)
    assert_order(taken)
    assert (locks.VOLUME, locks.IDENTITY, locks.TARGET) in taken


def test_order_of_locks_of_fibre_channel(
    tmp_path: pathlib.Path, taken: list[tuple[str, ...]]
) -> None:
    with fabric.FabricHost(tmp_path) as host:
        host.tells_nothing = True
        storage = host.storage(ports=2)
        storage.luns[1] = array.Unit('gold')
        host.adapter(storage)
        brick = fibre_channel.FibreChannelConnector(None, use_multipath=True)
        props = storage.properties()
        info = brick.connect_volume(props)
        storage.luns[1].megabytes += 32
        brick.extend_volume(props)
        brick.disconnect_volume(props, info)
        assert not host.disks
    assert_order(taken)


@pytest.mark.usefixtures('soon')
@pytest.mark.parametrize('number', [2, 3])
def test_a_late_path_is_asked_before_it_joins_and_after(host: Host, number: int) -> None:
    """The array gives its LUN to another volume after it has said for the first time who it is."""
    one, two = host.target('one'), host.target('two')
    one.luns[1] = two.luns[1] = array.Unit('gold')
    two.portals[0].close()
    props = {
        'target_portals': [str(one.portals[0]), str(two.portals[0])],
        'target_iqns': [one.iqn, two.iqn],
        'target_luns': [1, 1],
    }
    brick = iscsi.ISCSIConnector(None, use_multipath=True)
    info = brick.connect_volume(props)
    silver = array.Unit('silver')
    asked = itertools.count(1)

    def strike(what: str) -> None:
        is_question = what.startswith(('identity_pages', 'pages_or_errors'))
        if is_question and next(asked) == number:
            two.luns[1] = silver

    host.before_act = strike
    (work,) = background._running
    two.portals[0].open()
    assert comes_true(lambda: two.luns[1] is silver)
    assert work.ended.wait(15)
    host.settle()
    (found,) = host.maps.values()
    assert [disk.session.target for disk in found.disks] == [one]
    assert len(host.disks) == 1
    brick.disconnect_volume(props, info)
    assert silver not in host.reached


@pytest.mark.parametrize('multipath', [False, True])
def test_a_disk_that_was_handed_out_is_not_taken_back(two: Two, multipath: bool) -> None:
    """By the attach that has scanned it, and fails; the one that was given it names another first.

    No one has the disk open yet.
    """
    host = two.host
    before = host.snapshot()
    both, one = two.targets['a'], two.targets['b']
    both.portals[0].close()
    props = {
        'target_portals': [str(both.portals[0]), str(one.portals[0])],
        'target_iqns': [both.iqn, one.iqn],
        'target_luns': [1, 1],
    }
    brick = iscsi.ISCSIConnector(None, use_multipath=multipath)
    infos: list[dict[str, str]] = []

    def attach() -> None:
        infos.append(brick.connect_volume(props))
        background.stop(request_iscsi.IscsiRequest.parse(props).key)

    acts = itertools.count()
    other = threading.Thread(target=attach, daemon=True)

    def strike(what: str) -> None:
        is_others = threading.current_thread() is other
        number = -1 if is_others or not what.startswith('identity_pages') else next(acts)
        if number == 0:  # Of the scan, which holds the lock of the portal: that answer is lost.
            (disk,) = host.disks.values()
            host.inquiry_fails = [(disk.address, 0x83)]
        if number == 1:
            other.start()
            other.join(OTHER_SECONDS)
            assert not other.is_alive()

    host.before_act = strike
    with pytest.raises(exception.VolumeIdentityMismatch):
        two.bricks['b'].connect_volume(one.properties(expected_wwid=array.Unit('x').wwid))
    host.before_act = lambda what: None
    host.settle()
    (info,) = infos
    assert host.tree.at(info['path']).exists()
    assert [disk.unit for disk in host.disks.values()] == [two.unit]
    assert len(host.maps) == int(multipath)
    brick.disconnect_volume(props, info)
    assert host.snapshot() == before
