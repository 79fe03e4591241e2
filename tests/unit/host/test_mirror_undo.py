# SPDX-License-Identifier: Apache-2.0
"""What takes back what an attach has done to arrays, and leaves all that is not its own."""

from collections.abc import Iterator
import json
import pathlib
from typing import Any

import pytest

from os_brick.core import undo
from os_brick.host import md, mirror_undo
from tests.unit.fakehost import mirrors
from tests.unit.fakehost.mirrors import MEMBERS, ONE, TWO

UUID = ':'.join(['11' * 4] * 4)


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[mirrors.Mirrors]:
    with mirrors.Mirrors(tmp_path) as found:
        found.pair()
        yield found


def replay(verb: Any, *args: Any) -> list[str]:
    """As another process does, by what was written down."""
    step = undo.Step(verb, args).as_dict()
    return undo.replay(json.loads(json.dumps([step])))


VERBS = [
    (mirror_undo.stop_new_over, ()),
    (mirror_undo.stop_over, (UUID,)),
    (mirror_undo.stop_auto_assembled, (5.0,)),
]


@pytest.mark.parametrize(('verb', 'more'), VERBS)
def test_stopped(host: mirrors.Mirrors, verb: Any, more: tuple[Any, ...]) -> None:
    devices = mirror_undo.numbered(MEMBERS)
    assert replay(verb, devices, *more) == []
    host.array(MEMBERS)
    assert replay(verb, devices, *more) == []
    assert not md.arrays_over(MEMBERS)


@pytest.mark.parametrize(('verb', 'more'), VERBS)
def test_other_devices_of_these_names(
    host: mirrors.Mirrors, verb: Any, more: tuple[Any, ...]
) -> None:
    devices = {name: number + 1 for name, number in mirror_undo.numbered(MEMBERS).items()}
    array = host.array(MEMBERS)
    assert replay(verb, devices, *more) == []
    assert replay(verb, mirror_undo.numbered(['nvme9n9']), *more) == []
    assert md.is_running(array)


def test_another_array_over_the_members(host: mirrors.Mirrors) -> None:
    array = host.array(MEMBERS, uuid='33' * 16)
    assert replay(mirror_undo.stop_over, mirror_undo.numbered(MEMBERS), UUID) == []
    assert md.is_running(array)


def test_an_array_that_stays_is_said(host: mirrors.Mirrors) -> None:
    host.array(MEMBERS)
    host.opened = {'md127'}
    (failure,) = replay(mirror_undo.stop_over, mirror_undo.numbered(MEMBERS), UUID)
    assert 'md127' in failure


@pytest.mark.parametrize(('uuid', 'left'), [(UUID, [ONE]), ('another', [ONE, TWO])])
def test_given_up(host: mirrors.Mirrors, uuid: str, left: list[str]) -> None:
    host.array(MEMBERS)
    assert replay(mirror_undo.give_up, 'md127', uuid, mirror_undo.numbered([TWO])) == []
    host.react()
    assert host.members_of('md127') == left
