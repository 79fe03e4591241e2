# SPDX-License-Identifier: Apache-2.0
"""Steps whose acts have one object: as plain values, and as lines."""

from os_brick.plans import acts
from os_brick.plans.rbd_course import Verb


def test_a_step_in_plain_values_tells_what_takes_it_back() -> None:
    act = acts.Act(Verb.MAP, 'rbd/gold', number=7, value='client.one', back='unmap it')
    assert act.as_dict() == {
        'verb': 'map',
        'object': 'rbd/gold',
        'number': 7,
        'value': 'client.one',
        'else': 'unmap it',
    }
    assert acts.Act(Verb.READ).as_dict() == {'verb': 'read'}


def test_a_step_as_a_line_is_its_verb_and_its_object() -> None:
    assert str(acts.Act(Verb.FLUSH, '/dev/rbd0', 7)) == 'flush /dev/rbd0'
    assert str(acts.Act(Verb.READ)) == 'read'


def test_a_link_is_made_of_an_encrypted_volume_alone() -> None:
    assert acts.link_made(is_encrypted=False) == ()
    (made,) = acts.link_made(is_encrypted=True)
    assert made.as_dict() == {'verb': 'make link', 'else': 'remove it'}
    assert [str(each) for each in acts.links_removed(['/dev/a', '/dev/b'])] == [
        'remove link /dev/a',
        'remove link /dev/b',
    ]


def test_a_plan_has_its_steps_in_their_order() -> None:
    plan = acts.plan('attach', 'gold', [acts.Act(Verb.MAP), acts.Act(Verb.READ)], ['n'], ['c'])
    assert plan.as_dict() == {
        'attach of': 'gold',
        'now': ['n'],
        'steps': [{'verb': 'map'}, {'verb': 'read'}],
        'could': ['c'],
    }
