# SPDX-License-Identifier: Apache-2.0
"""The head over all paths: which device an attach returns, and which late path may join it."""

from collections.abc import Iterator
import pathlib

import pytest

from os_brick import exception
from os_brick.core import locks, operation, undo, wait
from os_brick.host import nvme
from os_brick.model import fabrics, settings
from os_brick.paths import nvme as nvme_paths
from os_brick.paths import nvme_attach
from os_brick.request import nvmeof
from tests.unit.fakehost import nvme as fake_nvme


@pytest.fixture(params=[True, False], ids=['native', 'no multipath'])
def fabric(
    tmp_path: pathlib.Path, request: pytest.FixtureRequest
) -> Iterator[fake_nvme.StrikingFabric]:
    with fake_nvme.striking(tmp_path, native=request.param) as found:
        yield found


class Stage:
    """A subsystem with two portals and one volume, and an attach of it that goes on."""

    def __init__(self, fabric: fake_nvme.StrikingFabric) -> None:
        self.subsystem = fabric.subsystem('one', portals=2)
        self.volume = self.subsystem.namespaces[1] = fake_nvme.Volume('gold')
        self.props = nvmeof.NvmeRequest.parse(self.subsystem.properties(1))
        (self.namespace,) = self.props.namespaces
        self.paths = [nvme_paths.NvmePath(self.namespace, each) for each in self.namespace.portals]
        host = (fake_nvme.HOST, fake_nvme.HOST.rpartition(':')[2])
        request = nvme_paths.Request(self.props.key, host, settings.NVMe(), 1.0, 2.0)
        self.driver = nvme_paths.Driver(request)

    def run(self, *, wanted: int = 0) -> str:
        """Attach by all paths, or by the first where none is wanted."""
        conf = settings.Settings(scan_seconds=1.0, nvme=settings.NVMe(io_policy='round-robin'))
        with operation.begin('connect', None, (locks.VOLUME, self.props.key), conf) as op:
            if not wanted:
                return nvme_attach.attach_first(self.driver, self.paths, op).head
            return nvme_attach.attach_all(self.driver, self.paths, wanted, op).head


@pytest.fixture
def stage(fabric: fake_nvme.StrikingFabric) -> Stage:
    return Stage(fabric)


def test_the_path_that_is_open_comes_first(fabric: fake_nvme.StrikingFabric, stage: Stage) -> None:
    name = fabric.by_hand(stage.subsystem, sorted(stage.subsystem.portals)[1])
    assert stage.run() == fabric.head(name, 1)
    assert list(fabric.controllers) == [name]


def test_the_next_path_is_tried_where_the_first_cannot_be_used(
    fabric: fake_nvme.StrikingFabric, stage: Stage
) -> None:
    stage.subsystem.portals.remove(min(stage.subsystem.portals))
    stage.run()
    ((_, portal),) = fabric.controllers.values()
    assert portal == min(stage.subsystem.portals)


def test_enough_paths_lead_to_one_head(fabric: fake_nvme.StrikingFabric, stage: Stage) -> None:
    """Without native multipath each path is a device of its own: one is not two."""
    before = fabric.snapshot()
    if fabric.native:
        assert stage.run(wanted=2) == 'nvme50n1'
        assert len(fabric.controllers) == 2
        place = fabric.root / 'sys/class/nvme-subsystem/nvme-subsys50'
        assert place.exists()
        return
    with pytest.raises(exception.BrickException, match='ultipath is enforced'):
        stage.run(wanted=2)
    assert fabric.snapshot() == before


def test_paths_that_lead_to_different_namespaces(
    fabric: fake_nvme.StrikingFabric, stage: Stage
) -> None:
    """One name on two numbers: an array's mistake, which no device may be made of."""
    gold = fabrics.NamespaceIdentity(uuid=stage.volume.uuid, nsid=1)
    other = fabrics.NamespaceIdentity(uuid=stage.volume.uuid, nsid=2)
    controller = fabrics.Controller('nvme0', stage.subsystem.nqn, stage.paths[0].portal, '7')
    opened = [
        nvme_paths.OpenPath(stage.paths[0], controller, fabrics.Path(name, 'nvme0', identity), True)
        for name, identity in (('nvme50c0n1', gold), ('nvme50c1n2', other))
    ]
    head = nvme_attach.NvmeHead()
    head.record(opened[0])
    assert head.wwid == stage.volume.uuid
    head.add(opened[0], wait.Deadline.after(1))
    with pytest.raises(exception.VolumeIdentityMismatch, match='nvme50n2'):
        head.add(opened[1], wait.Deadline.after(1))


def test_a_late_path_does_not_keep_the_volume_by_itself(
    fabric: fake_nvme.StrikingFabric, stage: Stage
) -> None:
    """Whether the volume is still attached is asked of the other paths."""
    names = [fabric.by_hand(stage.subsystem, each) for each in sorted(stage.subsystem.portals)]
    found = nvme.controllers(stage.subsystem.nqn)
    (first,) = nvme.paths(names[0])
    late = nvme_paths.OpenPath(stage.paths[1], found[1], nvme.paths(names[1])[0], is_new=True)
    head = nvme_attach.NvmeHead()
    head.record(nvme_paths.OpenPath(stage.paths[0], found[0], first, is_new=True))
    assert head.is_present(without=late)
    fabric.delete(names[0])
    assert not head.is_present(without=late)
    assert head.is_present() is fabric.native
    assert undo.Undo().steps() == head.before([], 1) == head.after([])
