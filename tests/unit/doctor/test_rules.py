# SPDX-License-Identifier: Apache-2.0
"""The rules as pure functions: what is not known is no finding, and where the lines are drawn."""

import dataclasses
from typing import Any

import pytest

from os_brick.doctor import catalogue, facts
from os_brick.doctor.case import WARN, Case, Values
from os_brick.doctor.rules import RULES
from os_brick.model import vpd

GOLD = vpd.UnitIdentity('36001405000000010000400080000000a', 'a', frozenset({'x'}))


def disk(name: str = 'sda', **more: Any) -> facts.SeenDisk:
    found = facts.SeenDisk(
        *(name, '3:0:0:1', facts.ISCSI, 'iqn.2026-11.org.lab:t1', 1, 'running', 1 << 26, GOLD)
    )
    return dataclasses.replace(found, **more)


def a_map(*members: str, **more: Any) -> facts.SeenMap:
    return facts.SeenMap('dm-0', GOLD.wwid, 'mpatha', members, 1 << 26, **more)


def session(number: int = 1, **more: Any) -> facts.SeenSession:
    found = facts.SeenSession(
        *(number, 'iqn.2026-11.org.lab:t1', f'10.0.0.{number}:3260', 'LOGGED_IN', 5, 'iqn.a'),
        'default',
    )
    return dataclasses.replace(found, **more)


def cases(name: str, found: facts.Facts, **values: float) -> list[Case]:
    return list(RULES[name](found, Values({**catalogue.entries()[name].values, **values})))


@pytest.mark.parametrize('name', RULES)
def test_what_was_not_read_is_no_finding(name: str) -> None:
    assert cases(name, facts.Facts()) == []


@pytest.mark.parametrize('name', RULES)
def test_what_is_not_there_is_no_finding(name: str) -> None:
    nothing = facts.Facts(
        *({}, {}, {}, {}, {}, {}, {}, (), '', (), '', facts.HostNames(), ()),
        multipathd=facts.Multipathd('down'),
        processes=facts.Processes({}, shows_host=True, listening=frozenset()),
        view=facts.View(),
        services=(),
        modules=facts.Modules(frozenset(), '6.12'),
        programs=frozenset(),
        notes=(),
    )
    assert cases(name, nothing) == []


def test_a_multipathd_with_a_file_of_wwids_of_its_own() -> None:
    """As in a container without the host's ``/etc/multipath``."""
    seen = facts.Processes({}, shows_host=True, listening=frozenset(), wwids_differ=True)
    (found,) = cases('container-view', facts.Facts({}, processes=seen))
    assert (found.object, found.words['need'], found.level) == ('/etc/multipath',) * 2 + (WARN,)


@pytest.mark.parametrize(
    ('state', 'recovery', 'is_stuck'),
    [
        ('FREE', 120, True),
        ('FAILED', 120, False),  # Its I/O still waits: it may come back in time.
        ('FAILED', -1, True),
        ('LOGGED_IN', 0, False),
    ],
)
def test_when_a_session_is_stuck(state: str, recovery: int, is_stuck: bool) -> None:
    away = session(state=state, recovery_tmo=recovery)
    assert (
        bool(cases('session-stuck', facts.Facts({'sda': disk()}, sessions={1: away}))) is is_stuck
    )
    assert not cases('session-stuck', facts.Facts({}, sessions={1: away}))  # A login that goes on.


def test_a_map_is_degraded_without_a_disk_of_a_session() -> None:
    found = facts.Facts(
        {'sda': disk()}, maps={'dm-0': a_map('sda')}, sessions={1: session(), 2: session(2)}
    )
    (case,) = cases('map-degraded', found)
    assert case.words['active'] == '1'
    assert case.words['expected'] == '2'
    assert 'session 2' in case.words['details']
    assert case.level == ''
    status = {'dm-0': facts.MapStatus(1, 0, queues=False)}
    (worse,) = cases('map-degraded', dataclasses.replace(found, map_status=status))
    assert worse.level == 'F'


@pytest.mark.parametrize(
    ('queueing', 'queues', 'found'),
    [
        ({GOLD.wwid: 'on'}, True, True),
        ({GOLD.wwid: '5 chk'}, True, False),
        ({GOLD.wwid: 'off'}, False, False),
        ({GOLD.wwid: 'off'}, True, True),  # Set by another program: no one ends the wait.
        ({}, True, True),  # multipathd does not have it: no one ends the wait.
        ({}, False, False),
    ],
)
def test_who_queues_for_ever(queueing: dict[str, str], queues: bool, found: bool) -> None:
    known = facts.Facts(
        maps={'dm-0': a_map('sda')},
        map_status={'dm-0': facts.MapStatus(0, 1, queues)},
        multipathd=facts.Multipathd('running', queueing=queueing),
    )
    assert bool(cases('mpath-queue-forever', known)) is found


@pytest.mark.parametrize('seconds', [5, 20, 21, -1])
def test_recovery_has_a_limit_of_each_product(seconds: int) -> None:
    known = facts.Facts(
        {'sda': disk(maps=('dm-0',), product='HPE:VV')},
        sessions={1: session(recovery_tmo=seconds)},
    )
    assert bool(cases('iscsi-recovery-tmo', known)) is (seconds not in (5, 20))
    values = Values({'seconds': 20}, {'HPE:*': {'seconds': 30}})
    assert bool(list(RULES['iscsi-recovery-tmo'](known, values))) is (seconds == -1)


def test_only_records_of_ours_are_a_warning() -> None:
    def record(is_ours: bool) -> facts.NodeRecord:
        return facts.NodeRecord('/etc/iscsi/nodes/t', 't', 'automatic', 'auto', is_ours)

    found = facts.Facts(records=(record(True), record(False)))
    assert [case.level for case in cases('node-startup-automatic', found)] == ['', 'I']
    assert len(cases('session-scan-auto', found)) == 1


@pytest.mark.parametrize('claim', ['device', 'identity', 'opener', 'user', 'map', 'nothing'])
def test_who_owns_a_disk(claim: str) -> None:
    users = ('mount on /mnt',) if claim == 'user' else ()
    note = facts.SeenNote(
        'v1',
        'iscsi',
        'attached',
        ('sda',) if claim == 'device' else (),
        (GOLD.wwid.upper(),) if claim == 'identity' else (),
    )
    found = facts.Facts(
        {'sda': disk(users=users, maps=('dm-0',) if claim == 'map' else ())},
        openers={'sda': ('process 5',) if claim == 'opener' else ()},
        notes=(note,),
    )
    assert bool(cases('orphan-disk', found)) is (claim == 'nothing')
    # Without the processes, or the notes, nothing can be claimed.
    assert not cases('orphan-disk', dataclasses.replace(found, openers=None))
    assert not cases('orphan-disk', dataclasses.replace(found, notes=None))


def test_a_blacklisted_disk_is_one_only_where_multipath_is_wanted() -> None:
    daemon = facts.Multipathd('running')
    alone = facts.Facts({'sda': disk()}, multipathd=daemon)
    assert not cases('mpath-blacklisted', alone)
    nova = facts.Service('nova', '/etc/nova/nova.conf', '/locks', wants_multipath=True)
    assert cases('mpath-blacklisted', dataclasses.replace(alone, services=(nova,)))
    both = dataclasses.replace(alone, disks={'sda': disk(), 'sdb': disk('sdb')})
    assert len(cases('mpath-blacklisted', both)) == 2


def test_a_disk_that_multipathd_does_not_know_yet_is_not_blacklisted() -> None:
    """While an attach goes on; one whose name is on the blacklist is told all the same."""
    attach = facts.SeenNote('v1', 'iscsi', 'attach')
    two = {name: disk(name) for name in ('sda', 'sdb')}
    found = facts.Facts(two, multipathd=facts.Multipathd('running'), notes=(attach,))
    assert not cases('mpath-blacklisted', found)
    for note in (dataclasses.replace(attach, state='attached'), None):
        done = dataclasses.replace(found, notes=(note,) if note else None)
        assert len(cases('mpath-blacklisted', done)) == 2
    daemon = facts.Multipathd('running', '', {}, frozenset({'sda'}))
    [case] = cases('mpath-blacklisted', dataclasses.replace(found, multipathd=daemon))
    assert case.object == 'sda'


def test_iscsid_that_is_stopped_is_told_what_to_do() -> None:
    def processes(*states: str, listens: bool) -> facts.Processes:
        sockets = frozenset({'@ISCSIADM_ABSTRACT_NAMESPACE'} if listens else ())
        return facts.Processes({'iscsid': states} if states else {}, True, sockets)

    def found(*states: str, listens: bool) -> list[Case]:
        known = facts.Facts(
            programs=frozenset({'iscsiadm'}), processes=processes(*states, listens=listens)
        )
        return cases('iscsid-down', known)

    assert not found('S', 'S', listens=True)
    assert not found(listens=True)  # systemd listens in its place.
    assert [case.variant for case in found('T', 'T', listens=True)] == ['stopped']
    assert [case.variant for case in found(listens=False)] == ['']


def test_an_operation_without_its_process() -> None:
    note = facts.SeenNote('v1', 'iscsi', 'attach', ('sda',), (), 'nova-compute 4711', True)
    (case,) = cases('unfinished', facts.Facts(notes=(note,)))
    assert case.object == 'v1'
    assert case.words['devices'] == 'sda'
    working = dataclasses.replace(note, is_abandoned=False)
    assert not cases('unfinished', facts.Facts(notes=(working,)))
