# SPDX-License-Identifier: Apache-2.0
"""What multipathd is told of disks that go, and what is made of its answers or its silence."""

from collections.abc import Iterator
import errno
import pathlib

import pytest

from os_brick import exception
from os_brick.core import wait
from os_brick.host import multipathd
from os_brick.privileged import multipathd as root_multipathd
from tests.unit.fakehost import host as fake_host
from tests.unit.fakehost import multipathd as fake_multipathd
from tests.unit.host import two_volumes

Host = fake_host.Host


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[Host]:
    with two_volumes.behind_one_port(tmp_path) as found:
        yield found


def test_multipathd_forgets_the_disk_that_was_looked_at(host: Host) -> None:
    """The name of a disk that has gone is another volume's by now."""
    assert host.claim('sdb')
    known = dict(host.paths_known)
    multipathd.forget_disks({'sda': 4711, 'sdb': 0})
    assert host.paths_known == known
    number = host.tree.at('/sys/block/sda/device').stat().st_ino
    multipathd.forget_disks({'sda': number, 'sdz': 0})
    assert list(host.paths_known) == ['sdb']


def silence(host: Host) -> None:
    """multipathd takes questions from now on, and answers none."""

    def strike(what: str) -> None:
        if what.startswith('multipathd '):
            raise OSError(errno.ETIMEDOUT, 'timed out')

    host.before_act = strike


def test_what_multipathd_knows_and_whether_that_is_known(host: Host) -> None:
    assert multipathd.known_disks() == {'sda': host.disks['sda'].unit.wwid}
    host.multipathd_runs = False
    assert multipathd.known_disks() is None
    host.multipathd_runs = True
    silence(host)
    with pytest.raises(multipathd.NoAnswer):
        multipathd.known_disks()


@pytest.mark.parametrize('word', ['timeout', 'fail'])
def test_multipathd_that_is_busy_has_reported_nothing(
    host: Host, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers ``timeout`` where it has not had its own lock within 4 s (uxsock_timeout)."""
    monkeypatch.setattr(fake_multipathd, 'answer_to', lambda host, question: word)
    with pytest.raises(multipathd.NoAnswer, match=word):
        multipathd.known_disks()


def test_disks_are_asked_for_alone(host: Host) -> None:
    """The answer does not grow with the other disks of the host."""
    assert multipathd.known_of(['sda', 'sdx']) == {'sda'}
    assert not any('paths' in act for act in host.acts)
    host.multipathd_runs = False
    assert multipathd.known_of(['sda']) == set()
    host.multipathd_runs = True
    silence(host)
    with pytest.raises(multipathd.NoAnswer):
        multipathd.known_of(['sda'])


@pytest.mark.parametrize('word', ['timeout', 'fail'])
def test_no_answer_is_not_that_a_disk_is_unknown(
    host: Host, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fake_multipathd, 'answer_to', lambda host, question: word)
    if word == 'fail':  # multipath-tools before 0.9 say no more of a disk that they do not know.
        assert multipathd.known_of(['sda']) == set()
        return
    with pytest.raises(multipathd.NoAnswer, match=word):
        multipathd.known_of(['sda'])


def test_multipathd_that_does_not_understand_the_question_lists_all(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = fake_multipathd.answer_to

    def old(host: Host, question: str) -> str:
        is_new = question.startswith('show path ')
        return (
            'multipath-tools v0.4.8\nCLI commands reference:' if is_new else answer(host, question)
        )

    monkeypatch.setattr(fake_multipathd, 'answer_to', old)
    assert multipathd.known_of(['sda', 'sdx']) == {'sda'}


def test_a_busy_daemon_of_ours_is_no_error_of_what_is_told_to_multipathd(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error here replaced that of the attach, which then did not take back all it had made."""

    def full(*_words: object) -> str:
        raise exception.OperationTimedOut(what='a free thread of the privileged daemon', seconds=5)

    for name in ('add_path', 'add_map', 'remove_path', 'remove_paths', 'daemon_status', 'paths_as'):
        monkeypatch.setattr(root_multipathd, name, full)
    for tell in (multipathd.ask_to_add, multipathd.ask_for_map, multipathd.ask_to_forget):
        assert 'a free thread' in tell('sda')
    assert not multipathd.forget_disks({'sda': 0})
    assert not multipathd.is_running()
    assert multipathd.show_paths('%d') == ''


def test_disks_are_forgotten_if_multipathd_says_so(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    """Not if it says nothing: that is waited for, and told."""
    host.remove_disk(host.disks['sda'])
    host.settle()
    host.paths_known['sda'] = 'stuck'
    silence(host)
    begun = host.clock.monotonic()
    multipathd.wait_forgotten(['sda'], wait.Deadline.after(30))
    assert host.clock.monotonic() - begun > multipathd.FORGET_SECONDS
    assert 'not known whether multipathd has forgotten sda: ' in caplog.text
    host.before_act = lambda what: None
    multipathd.wait_forgotten(['sda'], wait.Deadline.after(30))
    assert not host.paths_known


def test_what_multipathd_holds_on_to_is_an_error(host: Host) -> None:
    host.remove_disk(host.disks['sda'])
    host.settle()
    host.before_act = lambda what: host.paths_known.update(sda='stuck')
    with pytest.raises(exception.MultipathdPathsNotRemoved, match='sda'):
        multipathd.wait_forgotten(['sda'], wait.Deadline.after(30))
    host.multipathd_runs = False
    multipathd.wait_forgotten(['sda'], wait.Deadline.after(30))
