# SPDX-License-Identifier: Apache-2.0
"""A service that is killed just after the kernel has made a controller for it.

It has entered nothing about the controller, behind which there are other volumes that no one has
ever attached. The next attach or detach at the portal knows that it was not made by hand.
"""

from collections.abc import Iterator
import pathlib
import threading
from typing import Any

import pytest

from os_brick import exception
from os_brick.core import process
from os_brick.host import notes
from os_brick.initiator.connectors import nvmeof
from os_brick.paths import nvme as paths_nvme
from tests.unit.fakehost import nvme

GOLD, SILVER, BRONZE = 1, 2, 3
OTHER_NAME = 'nqn.2014-08.org.nvmexpress:uuid:11111111-2222-3333-4444-555555555555'


@pytest.fixture(params=[True, False], ids=['native', 'no multipath'])
def fabric(tmp_path: pathlib.Path, request: pytest.FixtureRequest) -> Iterator[nvme.StrikingFabric]:
    with (
        nvme.configured(tmp_path, scan_timeout=0.3) as root,
        nvme.StrikingFabric(root, native=request.param) as found,
        process.use(found),
    ):
        yield found


@pytest.fixture
def subsystem(fabric: nvme.StrikingFabric) -> nvme.Subsystem:
    found = fabric.subsystem('one')
    volumes = {GOLD: 'gold', SILVER: 'silver', BRONZE: 'bronze'}
    found.namespaces |= {number: nvme.Volume(name) for number, name in volumes.items()}
    return found


@pytest.fixture
def brick() -> nvmeof.NVMeOFConnector:
    return nvmeof.NVMeOFConnector(None)


@pytest.fixture
def gold(
    fabric: nvme.StrikingFabric,
    subsystem: nvme.Subsystem,
    brick: nvmeof.NVMeOFConnector,
    state_path: str,
) -> dict[str, Any]:
    """The properties of the volume whose attach was killed."""
    props = subsystem.properties(GOLD)
    brick.connect_volume(props)
    fabric.unwrite()
    for path in pathlib.Path(state_path).glob(f'{notes.NOTE}*'):
        path.unlink()
    assert len(fabric.controllers) == 1
    return props


def nothing_is_left(fabric: nvme.StrikingFabric) -> bool:
    fabric.settle()
    return not fabric.controllers and not fabric.entered()


def test_its_detach(
    fabric: nvme.StrikingFabric, brick: nvmeof.NVMeOFConnector, gold: dict[str, Any]
) -> None:
    brick.disconnect_volume(gold, None)
    assert nothing_is_left(fabric)


def test_the_next_attach(
    fabric: nvme.StrikingFabric, brick: nvmeof.NVMeOFConnector, gold: dict[str, Any]
) -> None:
    info = brick.connect_volume(gold)
    assert len(fabric.controllers) == 1
    brick.disconnect_volume(gold, info)
    assert nothing_is_left(fabric)


def test_another_volume_of_the_subsystem(
    fabric: nvme.StrikingFabric,
    subsystem: nvme.Subsystem,
    brick: nvmeof.NVMeOFConnector,
    gold: dict[str, Any],
) -> None:
    silver = subsystem.properties(SILVER)
    info = brick.connect_volume(silver)
    brick.disconnect_volume(silver, info)
    assert nothing_is_left(fabric)


@pytest.mark.usefixtures('gold')
def test_a_failing_attach(
    fabric: nvme.StrikingFabric, subsystem: nvme.Subsystem, brick: nvmeof.NVMeOFConnector
) -> None:
    missing = {**subsystem.properties(SILVER), 'vol_uuid': nvme.Volume('other').uuid}
    with pytest.raises(exception.VolumeDeviceNotFound):
        brick.connect_volume(missing)
    assert nothing_is_left(fabric)


def test_a_namespace_in_use_keeps_it(
    fabric: nvme.StrikingFabric, brick: nvmeof.NVMeOFConnector, gold: dict[str, Any]
) -> None:
    (name,) = fabric.controllers
    (fabric.root / 'sys/class/block' / fabric.head(name, SILVER) / 'holders/dm-0').mkdir(
        parents=True
    )
    brick.disconnect_volume(gold, None)
    assert fabric.controllers


def test_one_made_by_hand_stays(
    fabric: nvme.StrikingFabric, subsystem: nvme.Subsystem, brick: nvmeof.NVMeOFConnector
) -> None:
    """Behind it any volume may have a user that never told."""
    fabric.connect_by_hand(subsystem)
    props = subsystem.properties(GOLD)
    brick.disconnect_volume(props, brick.connect_volume(props))
    assert fabric.controllers


def test_it_has_gone_again(
    fabric: nvme.StrikingFabric, brick: nvmeof.NVMeOFConnector, gold: dict[str, Any]
) -> None:
    fabric.lose(*fabric.controllers)
    brick.disconnect_volume(gold, None)
    assert nothing_is_left(fabric)


@pytest.mark.parametrize('meet', [True, False], ids=['at a time', 'in turn'])
def test_two_names_of_the_host(
    fabric: nvme.StrikingFabric,
    subsystem: nvme.Subsystem,
    brick: nvmeof.NVMeOFConnector,
    monkeypatch: pytest.MonkeyPatch,
    meet: bool,
) -> None:
    """No one is killed: two volumes are attached at one portal, each by another name of the host.

    At a time: silver is attached when the controller for gold is live, and gold is not yet found.
    """
    gold, silver = subsystem.properties(GOLD), subsystem.properties(SILVER, host_nqn=OTHER_NAME)
    infos: dict[str, Any] = {}
    search = paths_nvme.Driver._namespace

    def attach_silver() -> None:
        infos['silver'] = brick.connect_volume(silver)

    def meanwhile(*args: Any) -> Any:
        if not threads:
            threads.append(threading.Thread(target=attach_silver))
            threads[0].start()
            threads[0].join()
        return search(*args)

    threads: list[threading.Thread] = []
    if meet:
        monkeypatch.setattr(paths_nvme.Driver, '_namespace', meanwhile)
    infos['gold'] = brick.connect_volume(gold)
    if not meet:
        attach_silver()
    brick.disconnect_volume(gold, infos['gold'])
    brick.disconnect_volume(silver, infos['silver'])
    assert nothing_is_left(fabric)
