# SPDX-License-Identifier: Apache-2.0
"""What happens to an NVMe host while an operation is in the middle of something."""

from collections.abc import Callable, Iterator
import contextlib
import pathlib
from typing import Any

from oslo_config import cfg
import pytest

from os_brick import exception
from os_brick.core import process
from os_brick.host import block, machine
from os_brick.initiator.connectors import nvmeof
from tests.unit.fakehost import nvme


class Fabric(nvme.StrikingFabric):
    """One thing happens just before the act of a name, or after it."""

    before: tuple[str, Callable[[], None]] | None = None
    after: tuple[str, Callable[[], None]] | None = None

    def isolated(self, call: Callable[[], Any], timeout: float) -> Any:
        name = getattr(getattr(call, 'func', call), '__name__', '')
        if self.before is not None and self.before[0] == name:
            (_, happen), self.before = self.before, None
            happen()
        found = super().isolated(call, timeout)
        if self.after is not None and self.after[0] == name:
            (_, happen), self.after = self.after, None
            happen()
        return found

    def look(self) -> None:
        """The kernel looks at all namespaces, as it does when a target tells of a change."""
        for name in list(self.controllers) * 2:
            self.scan(name)


@pytest.fixture(params=[True, False], ids=['native', 'no multipath'])
def fabric(tmp_path: pathlib.Path, request: pytest.FixtureRequest) -> Iterator[Fabric]:
    values = {'lock_path': str(tmp_path / 'locks'), 'scan_timeout': 0.3, 'operation_timeout': 10}
    for name, value in values.items():
        cfg.CONF.set_override(name, value, group='os_brick')
    machine.system_uuid.cache_clear()
    with Fabric(tmp_path / 'root', native=request.param) as found, process.use(found):
        yield found
    for name in values:
        cfg.CONF.clear_override(name, group='os_brick')
    machine.system_uuid.cache_clear()


@pytest.mark.parametrize('multipath', [True, False])
@pytest.mark.parametrize('what', ['number reused', 'numbers swapped', 'another subsystem'])
def test_the_device_becomes_another_volume_while_it_is_waited_for(
    fabric: Fabric, multipath: bool, what: str
) -> None:
    """The kernel gives the names of devices again at once."""
    subsystem = fabric.subsystem('one')
    gold, silver = nvme.Volume('gold'), nvme.Volume('silver')
    subsystem.namespaces |= {1: gold, 2: silver}
    props = subsystem.properties(1)

    def happen() -> None:
        if what == 'another subsystem':
            fabric.lose(*fabric.controllers)
            other = fabric.subsystem('other')
            other.namespaces[1] = nvme.Volume('other')
            fabric.by_hand(other, min(other.portals))
        else:
            subsystem.namespaces[1] = silver
            subsystem.namespaces[2] = gold if what == 'numbers swapped' else nvme.Volume('tin')
            fabric.look()

    fabric.before = ('_read_and_identify', happen)
    brick = nvmeof.NVMeOFConnector(None, use_multipath=multipath)
    with pytest.raises(exception.VolumeIdentityMismatch) as caught:
        brick.connect_volume(props)
    assert gold.uuid in str(caught.value)
    left = {each.nqn for each, _portal in fabric.controllers.values()}
    assert subsystem.nqn not in left


@pytest.mark.parametrize('is_numbered', [True, False])
def test_the_array_changes_its_numbers_when_a_controller_has_been_made(
    fabric: Fabric, is_numbered: bool
) -> None:
    """The kernel looks behind it by itself, and what it shows is what it has just been told."""
    subsystem = fabric.subsystem('one')
    gold, silver = nvme.Volume('gold'), nvme.Volume('silver')
    subsystem.namespaces |= {1: gold, 2: silver}
    props = subsystem.properties(1)
    before = fabric.snapshot()

    def swap() -> None:
        subsystem.namespaces |= {1: silver, 2: gold}
        fabric.look()

    fabric.after = ('_connect', swap)
    brick = nvmeof.NVMeOFConnector(None)
    info = brick.connect_volume({**props, 'ns_id': 1} if is_numbered else props)
    assert fabric.uuid_of(info['path']) == gold.uuid
    assert info['path'].endswith('n2')
    brick.disconnect_volume(props, info)
    assert fabric.after is None
    fabric.settle()
    assert fabric.snapshot() == before


@pytest.mark.parametrize('what', ['grown', 'shrunk'])
def test_a_size_that_changes_when_the_controller_has_been_made(fabric: Fabric, what: str) -> None:
    subsystem = fabric.subsystem('one')
    gold = subsystem.namespaces[1] = nvme.Volume('gold')
    new = gold.size * 2 if what == 'grown' else gold.size // 2

    def happen() -> None:
        gold.size = new
        fabric.look()

    fabric.after = ('_connect', happen)
    cfg.CONF.set_override('scan_timeout', 3, group='os_brick')
    info = nvmeof.NVMeOFConnector(None).connect_volume(subsystem.properties(1))
    assert block.size_bytes(info['path'].rpartition('/')[2]) == new


@pytest.mark.parametrize('multipath', [True, False])
@pytest.mark.parametrize('names', [('ns_id',), (), ('vol_uuid',)], ids=['number', 'none', 'UUID'])
@pytest.mark.parametrize('moment', ['after _connect', 'before _read_and_identify'])
def test_the_name_of_a_controller_is_given_again(
    fabric: Fabric, moment: str, names: tuple[str, ...], multipath: bool
) -> None:
    """Its connection breaks, and the next one of the host, to another subsystem, has its name."""
    one, other = fabric.subsystem('one'), fabric.subsystem('other')
    one.namespaces[1], other.namespaces[1] = nvme.Volume('gold'), nvme.Volume('of another')
    every = {**one.properties(1), 'ns_id': 1}
    props = {key: every[key] for key in ('target_nqn', 'portals', *names)}

    def happen() -> None:
        fabric.lose(*fabric.controllers)
        fabric.by_hand(other, min(other.portals))

    when, act = moment.split()
    setattr(fabric, when, (act, happen))
    brick = nvmeof.NVMeOFConnector(None, use_multipath=multipath)
    try:
        path = brick.connect_volume(props)['path']
    except exception.BrickException:
        path = ''
    # Another connection may have been made.
    assert not path or fabric.uuid_of(path) == one.namespaces[1].uuid
    left = [subsystem.nqn for subsystem, _portal in fabric.controllers.values()]
    assert left == [other.nqn, *[one.nqn] * bool(path)]


@pytest.mark.parametrize('call', ['detach', 'extend', 'paths'])
def test_what_only_looks_makes_no_host_name(fabric: Fabric, call: str) -> None:
    """Half an identity, a name without an ID, was left behind by a mere question."""
    subsystem = fabric.subsystem('one')
    subsystem.namespaces[1] = nvme.Volume('gold')
    for name in ('hostnqn', 'hostid'):
        (fabric.root / 'etc/nvme' / name).unlink()
    before = fabric.snapshot()
    brick = nvmeof.NVMeOFConnector(None)
    props = subsystem.properties(1)
    with contextlib.suppress(exception.VolumePathsNotFound):
        if call == 'detach':
            brick.disconnect_volume(props, None)
        elif call == 'extend':
            brick.extend_volume(props)
        else:
            assert brick.get_volume_paths(props) == []
    assert fabric.snapshot() == before


def test_a_name_that_cannot_be_written_is_not_told(fabric: Fabric) -> None:
    """Nothing would connect by it, and no ID belongs to it."""
    fabric.file('/usr/sbin/nvme', '')
    for name in ('hostnqn', 'hostid'):
        (fabric.root / 'etc/nvme' / name).unlink()
    (fabric.root / 'etc/nvme/hostnqn').mkdir()
    before = fabric.snapshot()
    found = nvmeof.NVMeOFConnector.get_connector_properties(None)
    assert not {'nqn', 'nvme_hostid'} & set(found)
    assert fabric.snapshot() == before
