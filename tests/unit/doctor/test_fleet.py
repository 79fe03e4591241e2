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
    assert {each.what for each in result.unread} >= {'d'}


@pytest.mark.parametrize('text', ['', 'nothing', '{', '[', '[]', '{"a": 1}', '[' * 100000, '3'])
def test_what_has_no_host_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match='os-brick connector'):
        fleet.examined(text)
