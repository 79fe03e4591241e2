# SPDX-License-Identifier: Apache-2.0
"""Plans of images that the kernel maps: what is asked of the cluster, and what stays alone."""

import pytest

from os_brick.model import rbd as model
from os_brick.plans import acts, rbd_course
from os_brick.plans.rbd_course import Verb

IMAGE = model.Image('rbd', 'gold')


def device(number: int) -> rbd_course.Device:
    return rbd_course.Device(model.Mapped(number, IMAGE, ('fsid', '1', '', 'abc')), 70 + number)


def verbs(plan: acts.Plan) -> list[Verb]:
    return [Verb(each.verb) for each in plan.steps]


def test_an_image_that_is_not_mapped_is_mapped_without_a_question() -> None:
    plan = rbd_course.attach(rbd_course.Found('rbd/gold'), 'client.one', is_encrypted=False)
    assert verbs(plan) == [Verb.MAP, Verb.READ]
    assert plan.steps[0].back == 'unmap it'
    assert plan.now == ('the image is not mapped',)


def test_a_device_is_used_once_the_cluster_has_said_who_the_image_is() -> None:
    one = device(0)
    found = rbd_course.Found('rbd/gold', (one,), (), (one,), is_asked=True)
    plan = rbd_course.attach(found, 'client.one', is_encrypted=False)
    assert verbs(plan) == [Verb.ASK, Verb.USE, Verb.READ]
    assert 'made anew since: it is mapped as client.one' in plan.could[0]
    # Of another cluster, as far as this host tells.
    other = rbd_course.Found('rbd/gold', (one,), (), (), is_asked=True)
    plan = rbd_course.attach(other, 'client.one', is_encrypted=False)
    assert verbs(plan) == [Verb.ASK, Verb.MAP, Verb.READ]
    assert 'is the image after all' in plan.could[0]


@pytest.mark.parametrize('force', [True, False])
def test_a_detach_takes_away_what_is_the_volume(*, force: bool) -> None:
    one, two = device(0), device(1)
    found = rbd_course.Found('rbd/gold', (one, two), (two.mapped,), (one,), is_asked=True)
    plan = rbd_course.removal(found, rbd_course.conf_removed('/tmp/conf'), force=force)
    check = [] if force else [Verb.CHECK_USERS]
    each = [*check, Verb.FLUSH, Verb.UNMAP]
    assert verbs(plan) == [Verb.SWEEP, Verb.ASK, *each, Verb.REMOVE_CONF]
    assert {step.object for step in plan.steps[2:-1]} == {'/dev/rbd0'}
    assert {step.number for step in plan.steps[2:-1]} == {70}
    assert any('left alone' in line for line in plan.could)


def test_an_extend_has_each_device_read_its_size() -> None:
    found = rbd_course.Found('rbd/gold', (device(0), device(1)), (), (device(0), device(1)))
    plan = rbd_course.growth(found)
    assert verbs(plan) == [Verb.REFRESH] * 2
    assert rbd_course.conf_removed(None) == ()
