# SPDX-License-Identifier: Apache-2.0
"""What a plan looks like: on a line, and as plain values."""

import dataclasses
import enum
import json

from os_brick.plans import steps


class Verb(enum.StrEnum):
    SCAN = 'scan'
    WAIT = 'wait'


@dataclasses.dataclass(frozen=True, slots=True)
class Step(steps.FieldsStep):
    verb: Verb
    address: str = ''
    lun: int | None = None
    disks: tuple[tuple[str, int], ...] = ()


PLAN = steps.Plan(
    'attach', 'iqn.x LUN 0', (Step(Verb.SCAN, '4:0:0:0', 0, (('sda', 7),)), Step(Verb.WAIT))
)


def test_what_is_empty_is_left_out_and_lun_0_is_not() -> None:
    assert PLAN.as_dict() == {
        'attach of': 'iqn.x LUN 0',
        'steps': [
            {'verb': 'scan', 'address': '4:0:0:0', 'lun': 0, 'disks': [['sda', 7]]},
            {'verb': 'wait'},
        ],
    }
    assert json.loads(json.dumps(PLAN.as_dict())) == PLAN.as_dict()


def test_a_step_is_a_line() -> None:
    assert str(PLAN).splitlines() == [
        'Attach of iqn.x LUN 0:',
        '  scan address=4:0:0:0 lun=0 disks=sda/7',
        '  wait',
    ]


def test_a_plan_without_steps_is_its_heading() -> None:
    plan: steps.Plan[Step] = steps.Plan('growth', '/dev/sda', ())
    assert str(plan) == 'Growth of /dev/sda:'


def test_what_is_there_and_what_could_happen_is_left_out_where_nothing_is_told() -> None:
    told = dataclasses.replace(PLAN, now=('no session',), could=('it fails',))
    found = told.as_dict()
    assert list(found) == ['attach of', 'now', 'steps', 'could']
    assert (found['now'], found['could']) == (['no session'], ['it fails'])
    assert str(told) == str(PLAN)
