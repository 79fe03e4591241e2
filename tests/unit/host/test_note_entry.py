# SPDX-License-Identifier: Apache-2.0
"""What attach, extend and detach note of a volume, and what goes wrong with that."""

from collections.abc import Callable, Iterator
import dataclasses
import errno
import functools
import itertools
import json
import os
import pathlib
import shutil
import stat
import threading
from types import FrameType
from typing import Any

from oslo_config import cfg
import pytest

from os_brick import exception, opts
from os_brick.core import atomic, locks, operation, shared_files
from os_brick.host import block, note_entry, notes
from os_brick.initiator.connectors import iscsi
from os_brick.model import note
from tests.unit import costs
from tests.unit.fakehost import array
from tests.unit.fakehost import host as fake_host
from tests.unit.initiator import forked

VOLUME = '8f0c2a4e-6d0b-4c31-9a55-3f0f5b0e7d11'


class Lab:
    """A host with one volume behind two portals."""

    def __init__(self, host: fake_host.Host, portals: int = 2) -> None:
        self.host = host
        self.target = host.target('t1', portals=portals)
        self.target.luns[1] = array.Unit()
        self.connector = iscsi.ISCSIConnector(None, use_multipath=True)
        self.properties: dict[str, Any] = {
            **self.target.properties(),
            'volume_id': VOLUME,
            'attachment_id': 'a1',
            'auth_method': 'CHAP',
            'auth_username': 'open',
            'auth_password': 'sesame-sesame',
        }
        own = f'/proc/{os.getpid()}/stat'
        host.tree.file(own, pathlib.Path(own).read_text())

    def attach(self) -> dict[str, Any]:
        return self.connector.connect_volume(self.properties)

    def detach(self, info: dict[str, Any] | None = None) -> None:
        self.connector.disconnect_volume(self.properties, info)


@pytest.fixture
def lab(host: fake_host.Host) -> Lab:
    return Lab(host)


def _only(state_path: str) -> note.Note:
    found = notes.every(state_path)
    assert found.unread == ()
    (one,) = found.notes
    return one


def test_a_note_is_there_after_an_attach_and_gone_after_the_detach(
    lab: Lab, state_path: str
) -> None:
    assert notes.every(state_path).notes == ()
    info = lab.attach()
    found = _only(state_path)
    assert (found.volume_id, found.attachment_id, found.protocol) == (VOLUME, 'a1', 'iscsi')
    assert found.result == info
    assert found.device == info['path'].removeprefix('/dev/')
    assert found.number == block.inode(found.device) != 0
    assert found.identity == info['scsi_wwn']
    assert (found.wanted, found.ready) == (2, 2)
    assert found.process is not None
    assert (found.process.pid, found.process.user) == (os.getpid(), os.geteuid())
    assert notes.is_running(found.process)
    assert found.work is None
    assert found.properties['target_lun'] == lab.properties['target_lun']
    assert 'auth_password' not in found.properties

    lab.detach(info)
    assert notes.every(state_path) == notes.Noted()
    assert [each.operation for each in notes.operations(state_path)] == ['attach', 'detach']


def test_no_secret_is_written(lab: Lab, state_path: str) -> None:
    lab.attach()
    for place in pathlib.Path(state_path).iterdir():
        text = os.readlink(place) if place.is_symlink() else place.read_text()
        assert 'sesame' not in text
        assert stat.S_IMODE(place.lstat().st_mode) == 0o644


def test_what_no_connector_knows_is_not_written(lab: Lab, state_path: str) -> None:
    """Drivers of others pass passwords under names of their own."""
    lab.properties |= {
        'api_key': 'sesame',
        'gateway': {'jwt': 'sesame'},
        'options': 'username=u,pass=sesame',
        'serverIP': 'https://admin:sesame@gw',
    }
    lab.attach()
    assert 'sesame' not in notes.text(_only(state_path))
    assert _only(state_path).properties['serverIP'] == 'https://***@gw'


def _nested(depth: int) -> object:
    return [_nested(depth - 1)] if depth else 'x'


VALUES = [10**5000, 10**400, -(10**30), _nested(15), _nested(40), ['x'] * 300_000, object()]


@pytest.mark.parametrize('value', VALUES, ids=range(len(VALUES)))
def test_properties_of_any_kind_block_nothing(lab: Lab, state_path: str, value: object) -> None:
    lab.properties['hosts'] = value
    assert _only_attached(lab, state_path).is_attached
    lab.detach()
    assert notes.every(state_path).notes == ()


def _only_attached(lab: Lab, state_path: str) -> note.Note:
    lab.attach()
    return _only(state_path)


@pytest.mark.parametrize('key', ['', 'k' * 5000])
def test_keys_of_any_length(lab: Lab, state_path: str, key: str) -> None:
    with operation.begin(
        *('connect', None, ('volume', key), opts.current()),
        note_entry.Entry(lab.properties, state_path),
    ) as op:
        op.course.returns({'path': '/dev/sda'})
    assert _only(state_path).device == 'sda'


def test_what_is_under_way_is_marked_with_what_it_has_reached(lab: Lab, state_path: str) -> None:
    seen: list[note.Note] = []
    lab.host.before_act = lambda what: seen.append(_only(state_path))  # type: ignore[method-assign]
    lab.attach()
    works = [each.work for each in seen]
    assert {each.operation for each in works if each} == {'attach'}
    assert not any(each.is_attached for each in seen)
    assert len({each.reached for each in works if each}) > 2


@pytest.mark.native  # It forks in the middle of a host.
@pytest.mark.parametrize(('operation', 'step'), [('attach', 2), ('detach', 3)])
def test_killed_at_each_point(
    tmp_path: pathlib.Path, state_path: str, operation: str, step: int
) -> None:
    """The note says that it is unfinished and what it had reached; the next operation ends that."""
    reached = []
    for number in itertools.count(0, step):
        with fake_host.Host(tmp_path / str(number)) as host:
            lab = Lab(host, portals=1)
            info = lab.attach() if operation == 'detach' else None
            act = functools.partial(lab.detach, info) if info else lab.attach
            status = forked.status(functools.partial(_killed, host, number, act))
            noted = notes.every(state_path).notes
            ran = [notes.is_running(each.work.process) for each in noted if each.work]
        if status == 0:
            break
        assert status == 9
        (found,) = noted
        assert found.work is not None
        assert found.work.operation == operation
        assert ran == [False]
        assert found.is_attached == (operation == 'detach')
        assert found.properties['volume_id'] == VOLUME
        reached.append(found.work.reached)
        shutil.rmtree(state_path)
    assert number > 4
    assert len(set(reached)) > 2
    # The last child has not been killed.
    assert [each.is_attached for each in noted] == [True] * (info is None)


def test_an_interrupt_while_an_operation_is_marked(
    lab: Lab, state_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends the operation; neither the mark nor a descriptor is left."""
    before = set(os.listdir('/proc/self/fd'))
    set_mark = shared_files.set_mark

    def interrupted(*args: Any) -> None:
        set_mark(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(shared_files, 'set_mark', interrupted)
    with pytest.raises(KeyboardInterrupt):
        lab.attach()
    assert notes.every(state_path) == notes.Noted()
    assert len(set(os.listdir('/proc/self/fd')) - before) <= 1  # Of the lock, which stays open.


def test_an_interrupt_while_the_end_is_noted_leaves_no_mark(
    lab: Lab, state_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process may go on, and an operation that has ended would count as under way."""
    lab.attach()
    append = shared_files.append_in

    def interrupted(*args: Any) -> None:
        append(*args)
        raise KeyboardInterrupt

    monkeypatch.setattr(shared_files, 'append_in', interrupted)
    with pytest.raises(KeyboardInterrupt):
        lab.detach()
    assert notes.every(state_path) == notes.Noted()


@pytest.mark.native
def test_the_next_operation_ends_what_was_marked(lab: Lab, state_path: str) -> None:
    assert forked.status(functools.partial(_killed, lab.host, 0, lab.attach)) == 9
    assert _only(state_path).work is not None
    lab.attach()
    assert _only(state_path).work is None


def _killed(host: fake_host.Host, number: int, act: Callable[[], object]) -> None:
    left = iter(range(number))

    def before_act(what: str) -> None:
        if next(left, None) is None:
            os._exit(9)

    host.before_act = before_act  # type: ignore[method-assign]
    act()


def test_an_attach_that_fails_leaves_no_note(lab: Lab, state_path: str) -> None:
    del lab.target.luns[1]
    with pytest.raises(exception.BrickException):
        lab.attach()
    assert notes.every(state_path) == notes.Noted()
    (past,) = notes.operations(state_path)
    assert (past.operation, past.outcome) == ('attach', 'failed')
    assert past.code


def test_an_attach_of_what_is_attached_replaces_the_note(lab: Lab, state_path: str) -> None:
    lab.attach()
    lab.attach()
    assert [each.operation for each in _only(state_path).past] == ['attach', 'attach']


def test_a_detach_that_is_refused_leaves_the_note(lab: Lab, state_path: str) -> None:
    info = lab.attach()
    before = _only(state_path)
    number = lab.host.tree.at(f'/sys/class/block/{before.device}/dev').read_text().strip()
    line = f'36 35 {number} / /mnt rw - ext4 {info["path"]} rw\n'
    lab.host.tree.file('/proc/self/mountinfo', line)
    with pytest.raises(exception.VolumeInUse):
        lab.detach(info)
    assert _only(state_path) == before


def test_an_extend_is_noted(lab: Lab, state_path: str) -> None:
    lab.attach()
    lab.connector.extend_volume(lab.properties)
    found = _only(state_path)
    assert found.is_attached
    assert [each.operation for each in found.past] == ['attach', 'extend']


class Calls(costs.Profile):
    """Counts how often links are made, renamed and removed, in all threads while it is open."""

    _COUNTED = (os.symlink, os.rename, os.unlink)

    def __init__(self) -> None:
        self.counts = dict.fromkeys(self._COUNTED, 0)

    def _note(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == 'c_call' and frame.f_code.co_filename == shared_files.__file__:
            for each in self._COUNTED:
                self.counts[each] += argument is each


def test_a_step_that_is_marked_costs_two_calls_of_the_system(tmp_path: pathlib.Path) -> None:
    """A link under a name of its own, which then gets that of the mark."""
    entry = note_entry.Entry({'volume_id': VOLUME}, str(tmp_path))
    course = entry.course('connect', 'iscsi key')
    entry.begin(course)
    entry.reach('first')
    with Calls() as calls:
        entry.reach('second "step"')
        entry.reach('second "step"')
    assert calls.counts == {os.symlink: 1, os.rename: 1, os.unlink: 0}
    (found,) = notes.every(str(tmp_path)).notes
    assert found.work is not None
    assert found.work.reached == 'second "step"'
    entry.end(course, None)


def test_a_link_of_a_killed_process_of_the_same_number_is_no_obstacle(
    tmp_path: pathlib.Path,
) -> None:
    with shared_files.directory(str(tmp_path)) as directory:
        shared_files.set_mark(directory, 'mark', 'one')
        fresh = f'.mark-{os.getpid()}-{threading.get_ident()}'
        os.symlink('half', fresh, dir_fd=directory)
        shared_files.set_mark(directory, 'mark', 'two')
        assert shared_files.mark(directory, 'mark') == 'two'
        assert shared_files.names_in(directory) == ['mark']


class Files:
    """What is written to files of the state directory, or an error in its place."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
        self.written: list[str] = []
        self.error: OSError | None = None
        for module, name in (
            (atomic, 'replace_in'),
            (shared_files, 'append_in'),
            (shared_files, 'set_mark'),
            (shared_files, 'replace_mark'),
        ):
            monkeypatch.setattr(module, name, self._counting(getattr(module, name), place))

    def _counting(self, function: Callable[..., None], place: str) -> Callable[..., None]:
        def call(directory: int, name: str, *args: Any, **kwargs: Any) -> None:
            if os.readlink(f'/proc/self/fd/{directory}') == place:
                if self.error:
                    raise self.error
                self.written += [name] if not name.startswith(notes.MARK) else []
            function(directory, name, *args, **kwargs)

        return call


@pytest.fixture
def state_files(monkeypatch: pytest.MonkeyPatch, state_path: str) -> Files:
    return Files(monkeypatch, state_path)


def test_one_file_is_written_an_operation(lab: Lab, state_files: Files) -> None:
    extend = functools.partial(lab.connector.extend_volume, lab.properties)
    for act, kind in ((lab.attach, notes.NOTE), (extend, notes.NOTE), (lab.detach, notes.LIST)):
        state_files.written.clear()
        act()
        (name,) = state_files.written
        assert name.startswith(kind)


def test_no_root_function_is_called_for_a_note(lab: Lab) -> None:
    with costs.Counter() as counted:
        entry = note_entry.Entry(lab.properties, cfg.CONF.os_brick.state_path)
        course = entry.course('connect', 'iscsi t1 1')
        entry.begin(course)
        entry.reach('scan')
        entry.end(course, None)
    assert counted.root_calls == 0


def _round(lab: Lab) -> None:
    before = lab.host.snapshot()
    lab.detach(lab.attach())
    assert lab.host.snapshot() == before


GARBAGE = [
    b'',
    b'{',
    b'null',
    b'[]',
    b'\xff\xfe',
    b'{"version": 1}',
    b'[' * 100_000,
    b'{"version": 1, "key": "x\\u001b[2J"}',
    b'{"version": 1, "key": "x", "wanted": ' + b'9' * 400 + b'}',
    b'{"version": 1, "key": "x", "at": 1e999}',
    b'0' * (notes.LARGEST_BYTES + 1),
]


@pytest.mark.parametrize('content', GARBAGE, ids=range(len(GARBAGE)))
def test_a_garbled_note_blocks_nothing(lab: Lab, state_path: str, content: bytes) -> None:
    lab.attach()
    (place,) = pathlib.Path(state_path).glob(f'{notes.NOTE}*')
    place.write_bytes(content)
    found = notes.every(state_path)
    assert found.notes == ()
    assert [each.what for each in found.unread] == [str(place)]
    lab.detach()
    assert not list(pathlib.Path(state_path).glob(f'{notes.NOTE}*'))
    _round(lab)


def _planted(state_path: str, kind: str, lab: Lab) -> pathlib.Path:
    key = lab.connector.Request.parse(lab.properties).key
    pathlib.Path(state_path).mkdir(exist_ok=True)
    return pathlib.Path(state_path, f'{kind}{notes.digest(key)}')


@pytest.mark.parametrize('kind', [notes.NOTE, notes.MARK, notes.LIST])
@pytest.mark.parametrize('what', ['link', 'dangling link', 'FIFO', 'directory'])
def test_what_is_planted_is_not_followed_and_blocks_nothing(
    lab: Lab, state_path: str, tmp_path: pathlib.Path, kind: str, what: str
) -> None:
    place = _planted(state_path, kind, lab)
    if kind == notes.LIST:
        place = place.with_name(f'{notes.LIST}{os.geteuid()}')
    victim = tmp_path / 'victim'
    victim.write_text('of another user')
    if what == 'FIFO':
        os.mkfifo(place)
    elif what == 'directory':
        place.mkdir()
    else:
        place.symlink_to(victim if what == 'link' else tmp_path / 'nothing')
    notes.every(state_path)
    _round(lab)
    assert victim.read_text() == 'of another user'
    assert not (tmp_path / 'nothing').exists()


@pytest.mark.parametrize('number', [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EACCES])
def test_what_cannot_be_written_blocks_nothing(
    lab: Lab, state_path: str, state_files: Files, caplog: pytest.LogCaptureFixture, number: int
) -> None:
    """A full disk, a file system that is read-only, a quota: the log says so, once."""
    info = lab.attach()
    state_files.error = OSError(number, os.strerror(number))
    lab.detach(info)
    assert notes.every(state_path).notes == ()
    lab.attach()
    assert notes.every(state_path).notes == ()
    lines = [each for each in caplog.messages if os.strerror(number) in each]
    assert 1 <= len(lines) <= 3
    state_files.error = None
    lab.attach()
    assert _only(state_path).is_attached


def test_a_directory_that_cannot_be_used_blocks_nothing(lab: Lab, state_path: str) -> None:
    """Beside the lock files, then; and where nothing can be made, nowhere."""
    pathlib.Path(state_path).write_text('not a directory')
    info = lab.attach()
    (found,) = notes.every(state_path).notes
    assert found.is_attached
    lab.detach(info)
    assert notes.every(state_path).notes == ()


def test_a_directory_that_any_user_can_write_to_is_not_used(lab: Lab, state_path: str) -> None:
    os.mkdir(state_path)
    os.chmod(state_path, 0o777)
    lab.attach()
    assert not list(pathlib.Path(state_path).iterdir())
    found = notes.every(state_path)
    assert [each.what for each in found.unread] == [state_path]
    assert [each.is_attached for each in found.notes] == [True]  # Beside the locks.


@pytest.mark.skipif(os.geteuid() != 0, reason='makes files of other users')
class TestTwoUsers:
    """Services of several users on one host."""

    def _plant(self, state_path: str, lab: Lab, user: int, group: int) -> pathlib.Path:
        lab.attach()
        (place,) = pathlib.Path(state_path).glob(f'{notes.NOTE}*')
        os.chown(place, user, group)
        return place

    def test_a_note_of_a_service_with_the_group_is_used_and_removed(
        self, lab: Lab, state_path: str
    ) -> None:
        os.makedirs(state_path)
        os.chown(state_path, 0, 4242)
        os.chmod(state_path, 0o2775)
        place = self._plant(state_path, lab, 162, 4242)
        assert _only(state_path).volume_id == VOLUME
        lab.detach()
        assert not place.exists()

    def test_a_note_of_any_other_user_is_not_believed(self, lab: Lab, state_path: str) -> None:
        place = self._plant(state_path, lab, 1000, 1000)
        found = notes.every(state_path)
        assert (found.notes, len(found.unread)) == ((), 1)
        lab.detach()
        assert not place.exists()  # Root can.

    def test_a_mark_of_any_other_user_is_not_believed(self, lab: Lab, state_path: str) -> None:
        place = _planted(state_path, notes.MARK, lab)
        os.symlink(notes.text(note.Note(key='iscsi x 1')), place)
        os.lchown(place, 1000, 1000)
        found = notes.every(state_path)
        assert (found.notes, len(found.unread)) == ((), 1)


def test_a_note_under_the_name_of_another_volume_is_not_believed(lab: Lab, state_path: str) -> None:
    lab.attach()
    (place,) = pathlib.Path(state_path).glob(f'{notes.NOTE}*')
    raw = json.loads(place.read_text())
    place.write_text(json.dumps({**raw, 'key': 'iscsi another 1'}))
    assert notes.every(state_path).notes == ()
    lab.detach()
    _round(lab)


def test_a_note_of_an_earlier_boot_is_void(lab: Lab, state_path: str) -> None:
    lab.attach()
    lab.host.tree.file('/proc/sys/kernel/random/boot_id', 'another one')
    assert notes.every(state_path) == notes.Noted()


def test_a_volume_with_properties_that_no_link_can_hold(lab: Lab, state_path: str) -> None:
    lab.properties['serverIP'] = 'x' * 5000
    seen: list[note.Note] = []
    lab.host.before_act = lambda what: seen.append(_only(state_path))  # type: ignore[method-assign]
    lab.attach()
    assert all(each.work and not each.properties for each in seen)
    assert _only(state_path).properties['volume_id'] == VOLUME


def test_huge_properties_are_left_out(lab: Lab, state_path: str) -> None:
    lab.properties['hosts'] = ['x' * 4000] * 100
    lab.attach()
    assert not _only(state_path).properties


def test_a_detach_by_another_user_removes_the_note(lab: Lab, state_path: str) -> None:
    """A service that cannot write to the directory has noted it beside the locks; root has not."""
    pathlib.Path(state_path).write_text('not a directory')
    lab.attach()
    os.unlink(state_path)
    assert [each.is_attached for each in notes.every(state_path).notes] == [True]
    lab.detach()
    assert os.path.isdir(state_path)
    assert notes.every(state_path).notes == ()


def test_of_two_notes_the_newer_one_counts(lab: Lab, state_path: str) -> None:
    pathlib.Path(state_path).write_text('not a directory')
    lab.attach()
    os.unlink(state_path)
    lab.properties['attachment_id'] = 'newer'
    lab.attach()
    assert _only(state_path).attachment_id == 'newer'


@pytest.mark.parametrize(('mode', 'expected'), [(0o2770, 0o2775), (0o755, 0o755), (0o1777, 0o755)])
def test_the_directory_is_shared_as_the_locks_are(
    lab: Lab, state_path: str, mode: int, expected: int
) -> None:
    os.umask(0o022)
    place = locks.directory()
    assert place is not None
    os.chmod(place, mode)
    lab.attach()
    assert stat.S_IMODE(os.stat(state_path).st_mode) == expected
    assert os.stat(state_path).st_gid == os.stat(place).st_gid


def test_a_volume_whose_place_another_one_has_by_now(lab: Lab, state_path: str) -> None:
    """The array has given the LUN away, the host was rescanned, and the caller has kept nothing.

    Without multipath: below the volume's own map a stale disk goes.
    """
    lab.connector = iscsi.ISCSIConnector(None, use_multipath=False)
    lab.attach()
    gold, silver = lab.target.luns[1], array.Unit(name='silver')
    lab.target.luns[1] = silver
    for each in list(lab.host.disks):
        lab.host.tree.at(f'/sys/block/{each}/device/rescan').write_text('1')
    before = lab.host.snapshot()
    with pytest.raises(exception.VolumeIdentityMismatch, match=gold.wwid):
        lab.detach()
    assert lab.host.snapshot() == before
    assert _only(state_path).identity == gold.wwid
    lab.detach({'path': '/dev/sda', 'scsi_wwn': silver.wwid})
    assert notes.every(state_path).notes == ()


def test_the_list_of_operations_is_bounded(
    lab: Lab, state_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notes, 'LARGEST_LIST_BYTES', 600)
    for _ in range(6):
        lab.detach(lab.attach())
    lists = list(pathlib.Path(state_path).glob(f'{notes.LIST}*'))
    assert 1 <= len(lists) <= 2
    assert sum(each.stat().st_size for each in lists) < 2000
    assert 2 <= len(notes.operations(state_path)) <= 12


def _same(one: note.Note, two: note.Note) -> bool:
    return dataclasses.replace(one, at=0.0, past=()) == dataclasses.replace(two, at=0.0, past=())


def test_two_volumes_have_two_notes(lab: Lab, state_path: str) -> None:
    lab.attach()
    first = _only(state_path)
    lab.target.luns[2] = array.Unit()
    other = {**lab.target.properties(lun=2), 'volume_id': 'other'}
    info = lab.connector.connect_volume(other)
    assert len(notes.every(state_path).notes) == 2
    lab.connector.disconnect_volume(other, info)
    assert _same(_only(state_path), first)


@pytest.fixture(autouse=True)
def _umask() -> Iterator[None]:
    before = os.umask(0o027)
    yield
    os.umask(before)
