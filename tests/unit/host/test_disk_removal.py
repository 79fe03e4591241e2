# SPDX-License-Identifier: Apache-2.0
"""A disk without a map is removed in four root calls, each step as where it has one of its own."""

from collections.abc import Callable, Iterator
import pathlib
import threading

import pytest

from os_brick import exception
from os_brick.core import teardown, wait
from os_brick.host import multipathd, removal, scsi, scsi_flush
from tests.unit import costs
from tests.unit.fakehost import array
from tests.unit.fakehost import multipathd as fake_multipathd
from tests.unit.fakehost.host import Host
from tests.unit.host import two_volumes

STEPS = [
    *('check users', 'forget paths', 'flush', 'remove disks'),
    *('wait until multipathd has forgotten', 'remove late map', 'forget WWID'),
]


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[Host]:
    """sda and sdb are gold, sdc is silver."""
    with two_volumes.attached(tmp_path) as found:
        yield found


def remove(*names: str, steps: teardown.Teardown | None = None) -> None:
    force = steps is not None and steps.on_error.is_forced
    until = wait.Deadline.after(120)
    removal.remove_disks(names, steps or teardown.RAISING, until, force=force)


class Steps(teardown.Teardown):
    """Steps with what happens before each.

    :ivar verbs: those that were run.
    """

    def __init__(self, before: Callable[[str], object] = lambda verb: None) -> None:
        super().__init__(teardown.OnError.RAISE)
        self.verbs: list[str] = []
        self.before = before

    def run(self, what: object, step: Callable[[], object]) -> bool:
        self.verbs.append(str(getattr(what, 'verb', what)))
        self.before(self.verbs[-1])
        return super().run(what, step)


def test_four_calls_and_the_steps_of_the_plan(host: Host) -> None:
    steps = Steps()
    with costs.Counter() as count:
        remove('sdc', steps=steps)
    assert steps.verbs == STEPS
    assert count.root_calls == 4
    assert host.flushes == ['sdc']
    assert two_volumes.units(host) == {'sda': 'gold', 'sdb': 'gold'}


class Daemon:
    """Stands for the daemon, which does a call whatever becomes of its caller."""

    def __init__(self, call: Callable[..., object]) -> None:
        self._call = call
        self._thread: threading.Thread | None = None
        self.is_in_flush, self.goes_on = threading.Event(), threading.Event()

    def __call__(self, *args: object) -> object:
        """The caller is interrupted in the flush: Ctrl-C, or eventlet's GreenletExit."""
        self._thread = threading.Thread(target=self._call, args=args, daemon=True)
        self._thread.start()
        assert self.is_in_flush.wait(10)
        raise KeyboardInterrupt

    def end(self) -> None:
        """Let it go on to its end."""
        self.goes_on.set()
        assert self._thread is not None
        self._thread.join(10)
        assert not self._thread.is_alive()


@pytest.mark.native
def test_a_daemon_that_goes_on_without_its_caller_deletes_nothing(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock of the volume is free then, and the next attach may have handed the disk out."""
    daemon = Daemon(scsi_flush.root.flush_known)
    monkeypatch.setattr(scsi_flush.root, 'flush_known', daemon)

    def wait_in_flush(what: str) -> None:
        if what.startswith('_flush'):
            daemon.is_in_flush.set()
            assert daemon.goes_on.wait(10)

    host.before_act = wait_in_flush
    with pytest.raises(KeyboardInterrupt):
        remove('sdc')
    daemon.end()
    assert host.flushes == ['sdc']
    assert 'sdc' in host.disks


def test_a_known_wwid_is_forgotten(host: Host) -> None:
    wwid = two_volumes.unit(host, 'sdc').wwid
    multipathd.remember(wwid)
    remove('sdc')
    assert wwid not in host.tree.at('/etc/multipath/wwids').read_text()


@pytest.mark.parametrize('answers', [True, False])
def test_a_wwid_that_multipathd_notes_after_it_was_asked(
    host: Host, monkeypatch: pytest.MonkeyPatch, answers: bool
) -> None:
    """It builds a map of the disk, and so takes its time; the map goes with the disk, by itself."""
    wwid = two_volumes.unit(host, 'sdc').wwid
    questions: list[str] = []
    answer_to = fake_multipathd.answer_to

    def answer(asked: Host, question: str) -> str:
        if question == 'show path sdc':
            questions.append(question)
        if len(questions) == 2:
            asked.clock.sleep(1.0)  # It answers once the map is made.
        if question == 'show path sdc' and len(questions) == 1:
            asked.clock.after(4.5, lambda: multipathd.remember(wwid))
            asked.clock.sleep(4.0 if answers else 5.0)
            if not answers:
                raise TimeoutError
            return 'timeout'
        return answer_to(asked, question)

    monkeypatch.setattr(fake_multipathd, 'answer_to', answer)
    remove('sdc')
    host.clock.sleep(10)
    assert questions
    assert two_volumes.units(host) == {'sda': 'gold', 'sdb': 'gold'}
    assert wwid not in host.tree.at('/etc/multipath/wwids').read_text()


def test_a_map_that_is_built_meanwhile_goes_with_its_wwid(host: Host) -> None:
    """multipathd notes a WWID before it makes the map: the file is looked at once more then."""
    wwid = two_volumes.unit(host, 'sdc').wwid
    session = host.disks['sdc'].session

    def build(verb: str) -> None:
        if verb == 'remove late map':
            host.find_lun(session, 1)
            host.settle()
            ((name, disk),) = ((n, d) for n, d in host.disks.items() if d.unit.wwid == wwid)
            assert host.claim(name)
            (found,) = host.maps.values()
            found.open_count = 1
            host.remove_disk(disk)
            found.open_count = 0
            multipathd.remember(wwid)

    remove('sdc', steps=Steps(build))
    assert not host.maps
    assert wwid not in host.tree.at('/etc/multipath/wwids').read_text()


def test_a_disk_that_is_claimed_stays(host: Host) -> None:
    host.claims.add('sdc')
    before, known = host.snapshot(), dict(host.paths_known)
    with pytest.raises(exception.VolumeInUse, match='claimed sdc'):
        remove('sdc')
    assert host.snapshot() == before
    assert host.paths_known == known


def test_a_disk_that_is_claimed_for_a_moment_goes(host: Host) -> None:
    host.claims.add('sdc')
    host.clock.after(1.0, host.claims.clear)
    remove('sdc')
    assert 'sdc' not in host.disks


@pytest.mark.parametrize('now', ['tin', 'nothing'])
def test_a_stale_disk_goes_unflushed(host: Host, now: str) -> None:
    two_volumes.remap(host, 'sdc', array.Unit('tin') if now == 'tin' else None)
    remove('sdc')
    assert not host.flushes
    assert 'sdc' not in host.disks


def refuse(host: Host, act: str) -> None:
    """Have an act fail."""

    def fail(what: str) -> None:
        if what.startswith(act):
            raise OSError(5, 'Input/output error')

    host.before_act = fail


def test_a_flush_that_fails_keeps_the_disk_unless_forced(host: Host) -> None:
    refuse(host, '_flush')
    with pytest.raises(exception.VolumeDeviceNotFound, match='cannot be flushed'):
        remove('sdc')
    assert 'sdc' in host.disks
    steps = teardown.Teardown(teardown.OnError.FINISH)
    remove('sdc', steps=steps)
    assert 'sdc' not in host.disks
    with pytest.raises(exception.ExceptionChainer, match='cannot be flushed'):
        steps.end()


def test_a_deletion_that_fails_is_an_error_of_its_own_step(host: Host) -> None:
    refuse(host, '_write')
    with pytest.raises(exception.VolumePathNotRemoved, match='/dev/sdc: '):
        remove('sdc')
    assert host.flushes == ['sdc']
    assert 'sdc' in host.disks


def test_a_multipathd_that_hangs_is_not_waited_for_more_often(host: Host) -> None:
    """Once when it is to forget the disk, and until it has: as where each is a call."""

    def hang(what: str) -> None:
        if what.startswith('multipathd'):
            host.clock.sleep(multipathd.ANSWER_SECONDS)
            raise TimeoutError

    host.before_act = hang
    begun = host.clock.monotonic()
    remove('sdc')
    seconds = host.clock.monotonic() - begun
    assert seconds <= multipathd.ANSWER_SECONDS * 3 + 1
    assert 'sdc' not in host.disks


def test_without_multipathd(host: Host) -> None:
    host.multipathd_runs = False
    with costs.Counter() as count:
        remove('sdc')
    assert count.root_calls == 3
    assert 'sdc' not in host.disks


def test_the_disks_of_a_map_go_in_one_call_with_what_multipathd_knows_then(host: Host) -> None:
    two_volumes.map_gold(host)
    with costs.Counter() as count:
        remove('sda', 'sdb')
    assert count.root_calls <= 6
    assert two_volumes.units(host) == {'sdc': 'silver'}
    assert not host.maps


def test_the_number_of_a_disk_that_has_gone_is_no_error(host: Host) -> None:
    number = scsi.number_of('sdc')
    host.remove_disk(host.disks['sdc'])
    assert scsi.remove_all({'sdc': number}, wait.Deadline.after(5)) == {}
