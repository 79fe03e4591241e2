# SPDX-License-Identifier: Apache-2.0
"""Names that several hosts have, in each form in which their connectors come."""

import json
from typing import Any

import pytest

from os_brick.doctor import fleet


def connector(host: str, **more: Any) -> dict[str, Any]:
    names = {'initiator': f'iqn.2026-11.org.lab:{host}', 'nqn': f'nqn.2014-08.org:{host}'}
    return {'host': host, **names, 'hostid': f'id-{host}', 'wwpns': None, **more}


HOSTS = [
    connector('a'),
    connector('b', nqn='NQN.2014-08.org:a', hostid='id-a'),
    connector('c', initiator='iqn.2026-11.org.lab:a'),
]
WRAPPED = [{'schema': 'os-brick/connector/1', 'host': 'x', 'connector': each} for each in HOSTS]
ANSIBLE = ''.join(
    f'{each["host"]} | CHANGED | rc=0 >>\n{json.dumps(each, indent=2)}\n' for each in HOSTS
)


@pytest.mark.parametrize(
    'text',
    [
        json.dumps(HOSTS),
        json.dumps(WRAPPED),
        '\n'.join(map(json.dumps, HOSTS)),
        ''.join(json.dumps(each, indent=4) for each in WRAPPED),
        ANSIBLE,
    ],
)
def test_duplicates_are_found_in_each_form(text: str) -> None:
    result = fleet.examined(text)
    assert {(each.id, each.object) for each in result.findings} == {
        ('hostnqn-duplicate', 'a, b'),
        ('hostid-duplicate', 'a, b'),
        ('iqn-duplicate', 'a, c'),
    }
    assert result.exit_code == 2
    assert not result.unread


def test_a_fleet_that_is_well() -> None:
    result = fleet.examined(json.dumps([connector('a'), connector('b')]))
    assert (result.findings, result.unread, result.exit_code) == ((), (), 0)


def test_one_host_twice_is_not_two() -> None:
    assert not fleet.examined(json.dumps([connector('a'), connector('a')])).findings


def test_a_host_without_names_shares_none() -> None:
    empty = {'initiator': None, 'nqn': '', 'hostid': None}
    text = json.dumps([connector('a', **empty), connector('b', **empty)])
    assert not fleet.examined(text).findings


def test_a_host_that_did_not_answer_costs_its_line() -> None:
    text = ANSIBLE + 'd | UNREACHABLE! => {"msg": "no route"}\n' + json.dumps({'strange': 1})
    result = fleet.examined(text)
    assert len(result.findings) == 3
    assert 'd' in {each.what for each in result.unread}


@pytest.mark.parametrize('text', ['', 'nothing', '{', '[', '[]', '{"a": 1}', '[' * 100000, '3'])
def test_what_has_no_host_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match='os-brick connector'):
        fleet.examined(text)


CLONES = [
    {'host': 'localhost', 'ip': f'10.0.0.{number}', 'initiator': 'iqn.2026-11.org.lab:image'}
    for number in (1, 2)
]


def test_clones_with_one_host_name_are_two_hosts() -> None:
    """Hosts that were made of one image: what --fleet is for."""
    result = fleet.examined(json.dumps(CLONES))
    assert result.hosts == 2
    assert {(each.id, each.object) for each in result.findings} == {
        ('iqn-duplicate', 'localhost (10.0.0.1), localhost (10.0.0.2)'),
        ('hostname-duplicate', 'localhost (10.0.0.1), localhost (10.0.0.2)'),
    }


def test_the_tools_names_come_before_the_clones_own() -> None:
    text = ''.join(
        f'{name} | CHANGED | rc=0 >>\n{json.dumps(each)}\n'
        for name, each in zip('ab', CLONES, strict=True)
    )
    assert {each.object for each in fleet.examined(text).findings} == {'a, b'}


@pytest.mark.parametrize(
    'line',
    [
        '[WARNING]: Platform linux on host a is using the discovered Python interpreter',
        '[DEPRECATION WARNING]: x',
        'not read: {of no use',
        '{ broken',
        '[1, 2',
    ],
)
def test_a_line_that_is_not_json_ends_nothing(line: str) -> None:
    first, second, third = map(json.dumps, HOSTS)
    text = f'{line}\n{first}\n{line}\n{second}\n{line}\n{third}\n'
    result = fleet.examined(text)
    assert result.hosts == 3
    assert len(result.findings) == 3


def test_many_hosts_are_a_few_names_and_none_forges_a_line() -> None:
    hosts = [connector(f'h{number}', nqn='one') for number in range(2000)]
    hosts.append(connector('x\nFAIL', nqn='one'))
    (found,) = fleet.examined(json.dumps(hosts)).findings
    assert len(found.text) < 300
    assert '\n' not in found.text + found.object
