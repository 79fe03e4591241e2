# SPDX-License-Identifier: Apache-2.0
"""Who disks report to be: asked one by one, all at once, and again."""

import pytest

from os_brick.core import wait
from os_brick.host import inquiry
from tests.unit.fakehost import array
from tests.unit.fakehost import host as fake_host
from tests.unit.host import two_luns


@pytest.fixture
def target(host: fake_host.Host) -> array.Target:
    return two_luns.scanned(host)


def test_each_is_asked_who_it_is(host: fake_host.Host, target: array.Target) -> None:
    gold, silver = two_luns.disk_of(host, 1).name, two_luns.disk_of(host, 2).name
    found = inquiry.ask_all([gold, silver], wait.Deadline.after(10))
    assert found.reported[gold].identity.wwid == target.luns[1].wwid
    assert found.reported[silver].identity.wwid == target.luns[2].wwid
    assert not found.unmapped
    assert not found.unanswered


def test_one_that_is_not_mapped_and_one_that_is_silent_differ(
    host: fake_host.Host, target: array.Target
) -> None:
    """The first is certainly not the volume any more; of the second nothing is known."""
    gold, silver = two_luns.disk_of(host, 1).name, two_luns.disk_of(host, 2).name
    del target.luns[1]
    target.luns[2].unresponsive = True
    found = inquiry.ask_all([gold, silver], wait.Deadline.after(10))
    assert found.reported == {}
    assert list(found.unmapped) == [gold]
    assert list(found.unanswered) == [silver]


def test_those_that_have_just_answered_are_asked_at_once(
    host: fake_host.Host, target: array.Target
) -> None:
    """One that does not answer by now is asked by itself, and more than once."""
    gold, silver = two_luns.disk_of(host, 1), two_luns.disk_of(host, 2)
    before = len(host.acts)
    assert len(inquiry.ask_again([gold.name, silver.name], wait.Deadline.after(10)).reported) == 2
    assert len(host.acts) == before + 1
    host.inquiry_fails = [(gold.address, 0x83), (gold.address, 0x83)]
    assert len(inquiry.ask_again([gold.name, silver.name], wait.Deadline.after(10)).reported) == 2
    assert len(host.acts) == before + 4
