# SPDX-License-Identifier: Apache-2.0
"""StorPool's devices: there in time, of their size, idle, and gone."""

import pytest

from os_brick import exception
from os_brick.core import wait
from os_brick.host import block, storpool
from tests.unit.fakehost import host as fake_host
from tests.unit.fakehost import storpool as fake_storpool

MEBI = 1 << 20
ID = 'zx4.b.9'


@pytest.fixture
def client(host: fake_host.Host) -> fake_storpool.Client:
    host.tree.directory('/dev/storpool-byid')
    return fake_storpool.Client(host)


def no_one_else(device: str, global_id: str) -> str | None:
    return None


def appeared(seconds: float = 5.0) -> str:
    return storpool.appeared(ID, no_one_else, wait.Deadline.after(seconds))


def test_appears(client: fake_storpool.Client) -> None:
    client.attach(ID, 'v1', MEBI, 3, 'rw')
    assert storpool.device_of(ID) is None
    assert appeared() == 'sp-3'
    assert storpool.device_of(ID) == 'sp-3'


def test_does_not_appear(client: fake_storpool.Client) -> None:
    with pytest.raises(exception.VolumeDeviceNotFound, match=ID):
        appeared()


def test_link_that_leads_to_another_volume_at_first(client: fake_storpool.Client) -> None:
    client.attach(ID, 'v1', MEBI, 3, 'rw')
    looks: list[str] = []

    def owner(device: str, global_id: str) -> str | None:
        looks.append(device)
        return 'volume x.y.z' if len(looks) < 3 else None

    assert storpool.appeared(ID, owner, wait.Deadline.after(5)) == 'sp-3'
    assert len(looks) == 3


def test_link_that_leads_to_another_volume(client: fake_storpool.Client) -> None:
    client.attach(ID, 'v1', MEBI, 3, 'rw')
    with pytest.raises(exception.VolumeIdentityMismatch) as caught:
        storpool.appeared(ID, lambda *_: 'volume x.y.z', wait.Deadline.after(2))
    assert (caught.value.device, caught.value.actual) == (storpool.path_of(ID), 'volume x.y.z')


def test_size(client: fake_storpool.Client) -> None:
    client.attach(ID, 'v1', MEBI, 3, 'rw')
    device, soon = appeared(), wait.Deadline.after(100)
    storpool.require_size(device, lambda: MEBI, soon)
    sizes = [2 * MEBI, 2 * MEBI, MEBI]
    storpool.require_size(device, lambda: sizes.pop(0), soon)
    with pytest.raises(exception.VolumeIdentityMismatch, match=f'{MEBI} bytes'):
        storpool.require_size(device, lambda: 2 * MEBI, soon)


def test_grown(client: fake_storpool.Client) -> None:
    client.attach(ID, 'v1', MEBI, 3, 'rw')
    device = appeared()
    client.grow_seconds = 20
    client.resize(ID, 3 * MEBI)
    assert storpool.grown(device, 2 * MEBI, wait.Deadline.after(100)) == 3 * MEBI
    with pytest.raises(exception.OperationTimedOut, match='/dev/sp-3 to have'):
        storpool.grown(device, 4 * MEBI, wait.Deadline.after(100))


def test_use(client: fake_storpool.Client, host: fake_host.Host) -> None:
    client.attach(ID, 'v1', MEBI, 3, 'rw')
    device = appeared()
    storpool.require_unused(device)
    host.claims.add(device)
    host.clock.after(1, host.claims.clear)  # udev has a look
    storpool.require_unused(device)
    host.claims.add(device)
    with pytest.raises(exception.VolumeInUse, match='sp-3'):
        storpool.require_unused(device)


def test_gone(client: fake_storpool.Client, host: fake_host.Host) -> None:
    client.attach(ID, 'v1', MEBI, 3, 'rw')
    device = appeared()
    number = block.inode(device)
    with pytest.raises(exception.VolumePathNotRemoved, match='/dev/sp-3'):
        storpool.require_gone(device, number, wait.Deadline.after(100))
    client.detach(ID)
    storpool.require_gone(device, number, wait.Deadline.after(100))
    # Another volume has got its name since.
    client.attach('zx4.b.a', 'v2', MEBI, 3, 'rw')
    host.clock.catch_up()
    storpool.require_gone(device, number, wait.Deadline.after(100))
