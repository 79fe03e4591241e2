# SPDX-License-Identifier: Apache-2.0
"""Whether a device may be formatted, as a table: what is on it, and what it has to be."""

import os

import pytest

from os_brick import exception
from os_brick.core import wait
from os_brick.host import blank
from tests.unit.encryptors.conftest import world  # noqa: F401
from tests.unit.encryptors.support import World
from tests.unit.fakehost import blkid
from tests.unit.fakehost.contents import KNOWN, SIZE, UNKNOWN
from tests.unit.fakehost.fixtures import host  # noqa: F401

ZEROS, UNSIGNED = blank.Wanted(blank=True), blank.Wanted(blank=False)


@pytest.fixture(autouse=True)
def _blkid(world: World) -> None:  # noqa: F811
    blkid.Blkid(world.crypt)


def require(wanted: blank.Wanted) -> blank.Look:
    return blank.require('sdx', wanted, wait.Deadline.after(60))


def put(world: World, content: dict[int, bytes]) -> None:  # noqa: F811
    for place, data in content.items():
        world.crypt.write('sdx', place, data)


@pytest.mark.parametrize('wanted', [ZEROS, UNSIGNED])
def test_zeros_may_be_formatted(world: World, wanted: blank.Wanted) -> None:  # noqa: F811
    before = world.state()
    assert require(wanted).digest == require(wanted).digest
    assert world.state() == before


@pytest.mark.parametrize('found', KNOWN)
@pytest.mark.parametrize('wanted', [ZEROS, UNSIGNED])
def test_what_a_probe_knows_never_is(
    world: World,  # noqa: F811
    wanted: blank.Wanted,
    found: str,
) -> None:
    """Among other data, too; and no option is named that would allow it."""
    put(world, KNOWN[found] if wanted is ZEROS else {0: os.urandom(1 << 16), **KNOWN[found]})
    with pytest.raises(exception.NotLUKS, match='/dev/sdx') as caught:
        require(wanted)
    assert 'luks_format' not in str(caught.value)


@pytest.mark.parametrize('found', UNKNOWN)
def test_what_no_probe_knows_is_where_that_is_configured(world: World, found: str) -> None:  # noqa: F811
    put(world, UNKNOWN[found])
    with pytest.raises(exception.NotLUKS, match='luks_format = unsigned'):
        require(ZEROS)
    assert require(UNSIGNED).digest


@pytest.mark.parametrize('place', [0, 4096, SIZE - 1])
def test_a_change_between_two_looks_shows(world: World, place: int) -> None:  # noqa: F811
    first = require(UNSIGNED)
    put(world, {place: b'x'})
    assert require(UNSIGNED).digest != first.digest


@pytest.mark.parametrize(('uuid', 'is_same'), [('same', True), ('other', False), ('', False)])
def test_a_header_that_was_being_written_is_known_by_its_uuid(
    world: World,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    uuid: str,
    is_same: bool,
) -> None:
    """blkid sees it; its sectors are told apart by ``besides``."""
    found = 'TYPE=crypto_LUKS\nUUID=same\n'
    monkeypatch.setitem(world.host.programs, 'blkid', lambda *_a, **_k: (0, found, ''))
    wanted = blank.Wanted(blank=True, uuid=uuid)
    if is_same:
        assert require(wanted).digest
        return
    with pytest.raises(exception.NotLUKS, match='crypto_LUKS'):
        require(wanted)


@pytest.mark.parametrize('how', ['refused', 'hung'])
def test_a_device_that_cannot_be_read_is_not_blank(world: World, how: str) -> None:  # noqa: F811
    for number in range(2):  # The read, and the probe.
        world.host.fail(number, how)
        with pytest.raises(exception.NotLUKS, match='whether it is blank cannot be read'):
            require(ZEROS)


def test_a_name_that_is_another_devices_by_now_is_not_blank(world: World) -> None:  # noqa: F811
    world.host.tree.remove('/dev/sdx')
    with pytest.raises(exception.NotLUKS):
        require(ZEROS)


def test_the_second_look_is_a_second_later(world: World) -> None:  # noqa: F811
    first = require(ZEROS)
    blank.wait_apart(first, wait.Deadline.after(60))
    assert world.host.clock.monotonic() - first.at >= blank.APART_SECONDS
    begun = world.host.clock.monotonic()
    blank.wait_apart(first, wait.Deadline.after(60))
    blank.wait_apart(require(ZEROS), wait.Deadline.after(0.1))
    # Nothing was waited for; the clock also runs with the time that a busy machine takes.
    assert world.host.clock.monotonic() - begun < blank.APART_SECONDS
