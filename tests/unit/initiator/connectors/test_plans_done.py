# SPDX-License-Identifier: Apache-2.0
"""What a plan shows is what is done: each step of it, by the name that it is told by, and no other.

For each protocol, on its fake host: the plan changes nothing, and tells no secret.
"""

from collections.abc import Iterator
import functools
import json
import pathlib

import pytest

from os_brick import exception
from tests.unit import planned

OPERATIONS = ('attach', 'extend', 'detach')


@pytest.fixture(params=planned.STAGES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def stage(name: str, tmp_path: pathlib.Path) -> Iterator[planned.Stage]:
    with planned.STAGES[name](tmp_path) as found:
        yield found


def test_what_is_shown_is_what_is_done(name: str, stage: planned.Stage) -> None:
    before = stage.contents()
    for operation in OPERATIONS:
        if operation == 'extend':
            if stage.is_idle:
                for act in (stage.plan, stage.do):
                    with pytest.raises(exception.VolumeDeviceNotFound):
                        act(operation)
                continue
            if stage.grow is None:
                with pytest.raises(NotImplementedError):
                    stage.plan(operation)
                continue
            stage.grow()
        there = stage.contents()
        shown = stage.plan(operation)
        assert stage.contents() == there, operation
        assert stage.plan(operation) == shown
        assert not [each for each in planned.SECRETS if each in json.dumps(shown)]
        done = planned.steps_of(lambda: stage.do(operation))  # noqa: B023 called at once
        order = functools.partial(stage.order, operation)
        assert order(done) == order(planned.verbs(shown)), operation
    assert (stage.contents() == before) is not stage.stays


def test_what_is_shown_of_a_detach_with_force_is_what_is_done(stage: planned.Stage) -> None:
    stage.do('attach')
    shown = planned.verbs(stage.plan('detach', force=True))
    act = functools.partial(stage.brick.disconnect_volume, stage.props, stage.info, force=True)
    assert planned.steps_of(act) == shown


@pytest.mark.parametrize('name', planned.EXTENDED)
def test_an_extend_without_a_new_size_does_a_part_of_it(stage: planned.Stage) -> None:
    stage.do('attach')
    shown = planned.verbs(stage.plan('extend'))
    there = stage.contents()
    done = planned.steps_of(lambda: stage.do('extend'))
    assert 0 < len(done) <= len(shown)
    assert done == shown[: len(done)]
    assert stage.contents() == there
