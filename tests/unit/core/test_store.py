# SPDX-License-Identifier: Apache-2.0
"""States are saved as a whole, found by other processes, and believed only where they can be."""

from collections.abc import Iterator
import contextlib
import json
import logging
import os
import pathlib
import subprocess
import sys
import threading
import time

from oslo_config import cfg
import pytest

from os_brick import exception, opts  # noqa: F401 registers [os_brick]
from os_brick.core import files, store

KIND, KEY = 'controller', 'nqn.x at tcp://10.0.0.1:4420 nvme0'


@pytest.fixture(autouse=True)
def place(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    locks = tmp_path / 'locks'
    cfg.CONF.set_override('lock_path', str(locks), group='os_brick')
    store._reported.clear()
    yield locks
    cfg.CONF.clear_override('lock_path', group='os_brick')


def _path(place: pathlib.Path) -> pathlib.Path:
    """The file of the state of KEY."""
    store.save(KIND, KEY, {'a': 1})
    (name,) = os.listdir(place)
    return place / name


def test_what_was_saved_is_there_in_every_process_until_it_is_removed(place: pathlib.Path) -> None:
    state = {'text': 'a\nb\0é\udcff', 'n': 2**70, 'list': [None, True, {'x': []}]}
    assert store.load(KIND, KEY) is None
    store.save(KIND, KEY, state, durable=True)
    assert store.load(KIND, KEY) == state
    assert store.load(KIND, f'{KEY}x') is None
    assert store.load('volume', KEY) is None
    program = (
        'import sys; from oslo_config import cfg; from os_brick import opts\n'
        'from os_brick.core import store\n'
        "cfg.CONF.set_override('lock_path', sys.argv[1], group='os_brick')\n"
        "assert store.load(*sys.argv[2:])['n'] == 2 ** 70"
    )
    environment = {**os.environ, 'PYTHONPATH': str(pathlib.Path(__file__).parents[3])}
    words = [sys.executable, '-c', program, str(place), KIND, KEY]
    assert subprocess.run(words, env=environment, check=False).returncode == 0
    store.save(KIND, KEY, None)
    assert store.load(KIND, KEY) is None
    assert os.listdir(place) == []


def test_an_empty_state_leaves_no_file(place: pathlib.Path) -> None:
    store.save(KIND, KEY, {'a': 1})
    store.save(KIND, KEY, {})
    store.save(KIND, KEY, None)
    assert os.listdir(place) == []


def test_nothing_is_made_to_look_or_to_forget(place: pathlib.Path) -> None:
    assert store.load(KIND, KEY) is None
    store.save(KIND, KEY, None)
    assert not place.exists()


def test_its_group_may_use_it_whatever_the_umask(place: pathlib.Path) -> None:
    before = os.umask(0o077)
    try:
        assert _path(place).stat().st_mode & 0o7777 == 0o660
    finally:
        os.umask(before)


def test_a_state_of_another_boot(tmp_path: pathlib.Path) -> None:
    boot = tmp_path / 'proc/sys/kernel/random/boot_id'
    boot.parent.mkdir(parents=True)
    boot.write_text('one\n')
    with files.use(str(tmp_path)):
        store.save(KIND, KEY, {'a': 1})
        assert store.load(KIND, KEY, this_boot=True) == {'a': 1}
        boot.write_text('two\n')
        assert store.load(KIND, KEY, this_boot=True) is None
        assert store.load(KIND, KEY) == {'a': 1}


BROKEN = [
    b'',
    b'{',
    b'\0' * 100,
    b'null',
    b'[]',
    b'7',
    b'{"key": "x"}',
    b'\xff\xfe',
    b'[' * 100_000,
    b'{"state": {"a": 1}}',
    json.dumps({'key': KEY, 'boot': '', 'state': [1]}).encode(),
    json.dumps({'key': f'{KEY} ', 'boot': '', 'state': {'a': 1}}).encode(),
    b' ' * (2 << 20),
]


@pytest.mark.parametrize('content', BROKEN, ids=lambda content: repr(content[:20]))
def test_what_is_broken_is_not_known_and_said_once(
    place: pathlib.Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = _path(place)
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert store.load(KIND, KEY) is None
        assert store.load(KIND, KEY) is None
    assert len([text for text in caplog.messages if str(path) in text]) == 1
    store.save(KIND, KEY, {'a': 2})
    assert store.load(KIND, KEY) == {'a': 2}


@pytest.mark.parametrize('kind', ['link', 'dangling link', 'directory', 'fifo', 'open to all'])
def test_what_is_not_a_file_of_ours_is_not_believed_and_not_written_through(
    place: pathlib.Path, tmp_path: pathlib.Path, kind: str
) -> None:
    """The directory is shared: another service could have put it there."""
    path = _path(place)
    victim = tmp_path / 'victim'
    if kind == 'open to all':
        path.chmod(0o666)
    else:
        text = path.read_text()
        path.unlink()
        if kind == 'link':
            victim.write_text(text)
        if kind == 'directory':
            path.mkdir()
        elif kind == 'fifo':
            os.mkfifo(path)
        else:
            path.symlink_to(victim)
    assert store.load(KIND, KEY) is None
    if kind == 'directory':
        with pytest.raises(exception.BrickException, match=str(place)):
            store.save(KIND, KEY, {'b': 2})
        with pytest.raises(exception.BrickException, match=str(place)):
            store.save(KIND, KEY, None)
        return
    store.save(KIND, KEY, {'b': 2})
    assert store.load(KIND, KEY) == {'b': 2}
    assert not path.is_symlink()
    assert not victim.exists() or '"b"' not in victim.read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can give a file to another user')
@pytest.mark.parametrize(
    ('directory', 'owner', 'group', 'is_believed'),
    [
        (0o2770, 4711, 815, True),
        (0o2770, 4711, 816, False),
        (0o1777, 4711, 815, False),
        (0o1777, 0, 0, True),
    ],
)
def test_whose_states_are_believed(
    place: pathlib.Path, directory: int, owner: int, group: int, is_believed: bool
) -> None:
    path = _path(place)
    os.chown(place, 0, 815)
    place.chmod(directory)
    os.chown(path, owner, group)
    assert (store.load(KIND, KEY) == {'a': 1}) is is_believed


def test_a_directory_that_is_open_to_all_is_refused(place: pathlib.Path) -> None:
    _path(place)
    place.chmod(0o777)
    assert store.load(KIND, KEY) is None
    with pytest.raises(exception.BrickException, match=r'lock_path.*2770'):
        store.save(KIND, KEY, {'a': 2})
    place.chmod(0o1777)
    assert store.load(KIND, KEY) == {'a': 1}


@pytest.mark.parametrize('kind', ['file', 'dangling link'])
def test_what_is_not_a_directory_is_named(place: pathlib.Path, kind: str) -> None:
    if kind == 'file':
        place.write_text('')
    else:
        place.symlink_to('nowhere')
    assert store.load(KIND, KEY) is None
    with pytest.raises(exception.BrickException, match=str(place)):
        store.save(KIND, KEY, {'a': 1})


@pytest.mark.native
def test_readers_never_see_half_a_state(place: pathlib.Path) -> None:
    states = [{'a': letter * 20_000} for letter in 'xyz']
    store.save(KIND, KEY, states[0])
    ended = threading.Event()
    seen: list[object] = []

    def read() -> None:
        while not ended.is_set():
            seen.append(store.load(KIND, KEY) in states)

    def write(state: dict[str, str]) -> None:
        for _ in range(30):
            store.save(KIND, KEY, state)

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write, args=(state,)) for state in states]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    ended.set()
    reader.join()
    assert seen
    assert all(seen)
    assert len(os.listdir(place)) == 1


def test_where_the_file_system_has_no_files_without_a_name(
    place: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS for example."""
    real = os.open

    def refusing(path: str, flags: int, *words: int, **keywords: int) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(95, 'Operation not supported')
        return real(path, flags, *words, **keywords)

    monkeypatch.setattr(os, 'open', refusing)
    store.save(KIND, KEY, {'a': 1})
    store.save(KIND, KEY, {'a': 2})
    assert store.load(KIND, KEY) == {'a': 2}
    assert len(os.listdir(place)) == 1


def test_without_a_directory_states_live_in_the_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    """With disable_process_locking and no lock_path they went to a directory called None."""
    monkeypatch.chdir(tmp_path)
    cfg.CONF.set_override('lock_path', None, group='os_brick')
    cfg.CONF.set_override('lock_path', None, group='oslo_concurrency')
    try:
        store.save(KIND, KEY, {'a': [1]})
        assert store.load(KIND, KEY, this_boot=True) == {'a': [1]}
        store.save(KIND, KEY, None)
        assert store.load(KIND, KEY) is None
        assert os.listdir(tmp_path) == []
    finally:
        cfg.CONF.clear_override('lock_path', group='oslo_concurrency')


@pytest.mark.native  # A thread that never waits lets no green thread run.
def test_a_directory_that_others_remove_while_it_is_empty(tmp_path: pathlib.Path) -> None:
    """The last state of another thing goes, and the directory with it, while one is saved."""
    place = tmp_path / 'states'
    is_over = threading.Event()

    def remove() -> None:
        while not is_over.is_set():
            with contextlib.suppress(OSError):
                place.rmdir()
            time.sleep(1e-4)  # Two threads of one interpreter may take turns for ever.

    remover = threading.Thread(target=remove)
    remover.start()
    try:
        for number in range(50):
            state = {'number': number}
            store.Store(str(place)).save(KIND, KEY, state)
            assert store.Store(str(place)).load(KIND, KEY) == state
            store.Store(str(place)).save(KIND, KEY, None)
    finally:
        is_over.set()
        remover.join()
