# SPDX-License-Identifier: Apache-2.0
"""What happens to a host between a look and the acts of a removal: another volume is left alone."""

from collections.abc import Iterator
import pathlib
import threading

import pytest

from os_brick import exception
from os_brick.core import teardown, wait
from os_brick.host import md, md_acts, nvme_removal, nvme_survey
from os_brick.initiator.connectors import nvmeof
from os_brick.model import fabrics
from os_brick.plans import nvme_removal as plans
from tests.unit.fakehost import mirrors, nvme


@pytest.fixture(params=[True, False], ids=['native', 'no multipath'])
def fabric(tmp_path: pathlib.Path, request: pytest.FixtureRequest) -> Iterator[nvme.Fabric]:
    with nvme.striking(tmp_path, native=request.param) as found:
        yield found


class Volume:
    """An attached volume."""

    def __init__(self, fabric: nvme.Fabric, name: str = 'gold', ports: int = 1) -> None:
        self.fabric = fabric
        self.subsystem = fabric.subsystem(name, ports)
        self.subsystem.namespaces[1] = nvme.Volume(name)
        self.props = self.subsystem.properties(1)
        self.brick = nvmeof.NVMeOFConnector(None, use_multipath=ports > 1)
        self.path = self.brick.connect_volume(self.props)['path']

    def plan(self, **names: str | int) -> plans.Removal:
        props = nvmeof.Volume.parse(self.props)
        (namespace,) = props.namespaces
        places = nvme_survey.Places(namespace.nqn, namespace.portals, None, props.key)
        identity = fabrics.NamespaceIdentity(**names) if names else namespace.identity  # type: ignore[arg-type]
        wanted = plans.Wanted(str(namespace), identity)
        return plans.plan([plans.choose(nvme_survey.for_removal(places, wanted), wanted)])


def run(removal: plans.Removal, *, force: bool = False) -> None:
    steps = teardown.Teardown(teardown.OnError.of(force, False))
    nvme_removal.run(removal, steps, wait.Deadline.after(20), force=force)
    steps.end()


def test_a_plan_that_is_still_true(fabric: nvme.Fabric, tmp_path: pathlib.Path) -> None:
    before = fabric.snapshot()
    volume = Volume(fabric)
    run(volume.plan())
    assert fabric.flushed == [volume.path.removeprefix('/dev/')]
    assert fabric.snapshot() == before
    assert not nvme.states(tmp_path)


@pytest.mark.parametrize('force', [False, True])
def test_the_names_are_another_volumes_by_now(fabric: nvme.Fabric, force: bool) -> None:
    """The controller ended by itself, and the kernel gave its name, and the device's, again."""
    removal = (volume := Volume(fabric)).plan()
    fabric.lose(*fabric.controllers)
    fabric._heads()
    other = Volume(fabric, 'silver')
    assert other.path == volume.path
    attached = fabric.snapshot()
    run(removal, force=force)
    assert not fabric.flushed
    assert fabric.snapshot() == attached


@pytest.mark.parametrize('force', [False, True])
def test_the_number_is_another_volumes_by_now(fabric: nvme.Fabric, force: bool) -> None:
    """The kernel does not know yet: a flush would write what was written to the old one."""
    volume = Volume(fabric)
    removal = volume.plan()
    volume.subsystem.namespaces[1] = nvme.Volume('silver')
    run(removal, force=force)
    assert not fabric.flushed
    assert not fabric.controllers


def test_a_volume_that_has_a_user_by_now(fabric: nvme.Fabric) -> None:
    """What the survey has not seen yet."""
    volume = Volume(fabric)
    removal = volume.plan()
    name = volume.path.removeprefix('/dev/')
    fabric.file('/proc/77/comm', 'dd')
    (fabric.root / 'proc/77/fd').mkdir()
    (fabric.root / 'proc/77/fd/3').symlink_to(f'/dev/{name}')
    with pytest.raises(exception.VolumeInUse, match='process 77'):
        run(removal)
    assert fabric.controllers
    assert not fabric.flushed


def test_another_volume_was_attached_behind_the_controller_meanwhile(fabric: nvme.Fabric) -> None:
    volume = Volume(fabric)
    removal = volume.plan()
    volume.subsystem.namespaces[2] = nvme.Volume('silver')
    other = volume.subsystem.properties(2)
    volume.brick.connect_volume(other)
    run(removal)
    assert len(fabric.controllers) == 1
    volume.brick.disconnect_volume(other, None)
    assert not fabric.controllers


def test_another_volume_was_detached_from_the_controller_meanwhile(fabric: nvme.Fabric) -> None:
    """The survey had seen a reason for the controller to stay."""
    volume = Volume(fabric)
    volume.subsystem.namespaces[2] = nvme.Volume('silver')
    other = volume.subsystem.properties(2)
    volume.brick.connect_volume(other)
    removal = volume.plan()
    volume.brick.disconnect_volume(other, None)
    assert len(fabric.controllers) == 1
    run(removal)
    assert not fabric.controllers


@pytest.mark.parametrize('stays', [False, True])
def test_who_looks_at_a_volume_that_was_detached(
    fabric: nvme.Fabric, stays: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another detach that looks behind another controller has it open for a moment, and no one
    comes back to a controller that is left for that; a program that goes on to use it keeps it."""
    volume = Volume(fabric)
    volume.subsystem.namespaces[2] = nvme.Volume('silver')
    other = volume.subsystem.properties(2)
    name = volume.brick.connect_volume(other)['path'].removeprefix('/dev/')
    removal = volume.plan()
    volume.brick.disconnect_volume(other, None)
    fabric.file('/proc/77/comm', 'dd')
    (fabric.root / 'proc/77/fd').mkdir()
    look = fabric.root / 'proc/77/fd/3'
    look.symlink_to(f'/dev/{name}')
    soon = threading.Timer(0.2, look.unlink)
    if stays:
        monkeypatch.setattr(nvme_removal, '_PASSING_SECONDS', 1.0)
    else:
        soon.start()
    run(removal)
    assert bool(fabric.controllers) is stays


def test_a_plan_that_was_run_before(fabric: nvme.Fabric) -> None:
    before = fabric.snapshot()
    removal = Volume(fabric).plan()
    run(removal)
    with pytest.raises(exception.VolumeDeviceNotFound, match='cannot be flushed'):
        run(removal)
    assert fabric.snapshot() == before


def test_controllers_that_cannot_be_ended_are_named(fabric: nvme.StrikingFabric) -> None:
    volume = Volume(fabric, ports=2)
    removal = volume.plan()
    for name in fabric.controllers:
        place = fabric.root / 'sys/class/nvme-fabrics/ctl' / name / 'delete_controller'
        place.unlink()
        place.mkdir()
    names = sorted(fabric.controllers)
    with pytest.raises((exception.BrickException, OSError)) as caught:
        run(removal)
    assert all(name in str(caught.value) for name in names)


# Arrays.


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[mirrors.Mirrors]:
    with mirrors.Mirrors(tmp_path) as found:
        found.member('nvme0n1', mirrors.superblock())
        yield found


@pytest.mark.parametrize('force', [False, True])
def test_the_name_of_the_array_is_another_ones_by_now(host: mirrors.Mirrors, force: bool) -> None:
    array = host.array(('nvme0n1',))
    removal = plans.plan((), nvme_survey.array(array))
    md_acts.stop(array, wait.Deadline.after(60))
    host.started.clear()
    other = host.member('nvme7n1', mirrors.superblock('77' * 16, 'any:vol7'))
    assert host.array((other,), 'vol7', uuid='77' * 16) == array
    run(removal, force=force)
    assert not host.flushed
    assert not host.started
    assert md.is_running(array)


def test_an_array_that_has_gone(host: mirrors.Mirrors) -> None:
    array = host.array(('nvme0n1',))
    removal = plans.plan((), nvme_survey.array(array))
    md_acts.stop(array, wait.Deadline.after(60))
    run(removal)
    assert not host.flushed
