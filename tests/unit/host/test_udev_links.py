# SPDX-License-Identifier: Apache-2.0
"""udev's links: the first that leads to a device, once it does."""

from os_brick.core import wait
from os_brick.host import udev_links
from tests.unit.fakehost import host as fake_host

ONE, TWO = (f'{udev_links.BY_PATH}/{name}' for name in ('one', 'two'))


def leading_to(device: str, *links: str, seconds: float = 2.0) -> str | None:
    return udev_links.leading_to(device, links, wait.Deadline.after(seconds))


def test_the_first_link_that_leads_there(host: fake_host.Host) -> None:
    for link, device in ((ONE, 'sdb'), (TWO, 'sda')):
        host.tree.link(link, f'/dev/{device}')
    assert leading_to('/dev/sda', ONE, TWO) == TWO
    assert leading_to('/dev/sdb', TWO, ONE) == ONE


def test_a_link_that_comes_late(host: fake_host.Host) -> None:
    host.clock.after(0.4, lambda: host.tree.link(ONE, '/dev/sda'))
    assert leading_to('/dev/sda', ONE) == ONE


def test_a_link_to_another_device_is_not_it(host: fake_host.Host) -> None:
    host.tree.link(ONE, '/dev/sdb')
    assert leading_to('/dev/sda', ONE, seconds=0.2) is None


def test_without_links_nothing_is_waited_for(host: fake_host.Host) -> None:
    before = host.clock.monotonic()
    assert leading_to('/dev/sda', seconds=60) is None
    assert host.clock.monotonic() - before < 1
