# SPDX-License-Identifier: Apache-2.0
"""Controllers that are made, waited for and ended; what the kernel is told."""

import dataclasses

import pytest

from os_brick import exception
from os_brick.core import clock, files, net, process, wait
from os_brick.host import nvme, nvme_connect
from os_brick.model import fabrics, settings
from tests.unit import seams
from tests.unit.fakehost import network
from tests.unit.fakehost import nvme as fake_nvme

HOST = (fake_nvme.HOST, fake_nvme.HOST.rpartition(':')[2])


def deadline(seconds: float = 5) -> wait.Deadline:
    return wait.Deadline.after(seconds)


def connect(subsystem: fake_nvme.Subsystem, **configured: object) -> fabrics.Controller:
    portal = fabrics.NvmePortal('rdma', min(subsystem.portals), '4420')
    options = settings.NVMe(**configured)  # type: ignore[arg-type]
    return nvme_connect.connect(subsystem.nqn, portal, HOST, options, deadline())


def test_what_the_kernel_is_told(fabric: fake_nvme.StrikingFabric) -> None:
    """What is configured for a connection, by the kernel's names, and nothing else."""
    subsystem = fabric.subsystem('one')
    made = connect(
        subsystem,
        queue_size=64,
        ctrl_loss_tmo=-1,
        fast_io_fail_tmo=0,
        io_policy='numa',
        tls_psk='NVMeTLSkey-1:01:secret:',
    )
    assert fabric.told[made.name] == {
        'nqn': subsystem.nqn,
        'transport': 'rdma',
        'traddr': min(subsystem.portals),
        'trsvcid': '4420',
        'hostnqn': HOST[0],
        'hostid': HOST[1],
        'queue_size': '64',
        'ctrl_loss_tmo': '-1',
        'fast_io_fail_tmo': '0',
    }
    assert nvme.controllers(subsystem.nqn) == [made]


def test_fibre_channel_ends_by_itself_if_it_gets_nowhere(fabric: fake_nvme.StrikingFabric) -> None:
    """The kernel takes down none that has never been connected."""
    subsystem = fabric.subsystem('one')
    names = 'nn-0x10000090fa942779:pn-0x20000090fa942779'
    subsystem.portals = {names}
    portal = fabrics.NvmePortal('fc', names)
    options = settings.NVMe(ctrl_loss_tmo=600)
    made = nvme_connect.connect(subsystem.nqn, portal, None, options, deadline())
    assert fabric.told[made.name]['ctrl_loss_tmo'] == '20'
    fabric.file(f'/sys/class/nvme-fabrics/ctl/{made.name}/ctrl_loss_tmo', '20')
    nvme_connect.set_ctrl_loss_tmo(made, 600)
    assert files.read(f'/sys/class/nvme-fabrics/ctl/{made.name}/ctrl_loss_tmo') == '600'


@pytest.mark.parametrize('state', ['live', 'connecting'])
def test_a_new_controller_is_asked_nothing(
    fabric: fake_nvme.StrikingFabric, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    """It may not answer, others wait for its portal, and no one would take it back meanwhile."""
    asked: list[int] = []
    monkeypatch.setattr(fabric, 'ioctl', lambda *arguments: asked.append(arguments[1]))
    subsystem = fabric.subsystem('one')
    subsystem.namespaces[1] = fake_nvme.Volume('gold')
    fabric.states['nvme0'] = state
    assert connect(subsystem) == nvme.controllers(subsystem.nqn)[0]
    assert (fabric.acts, asked) == (1, [])


def test_refused(fabric: fake_nvme.StrikingFabric) -> None:
    subsystem = fabric.subsystem('one')
    before = fabric.snapshot()
    portal = fabrics.NvmePortal('rdma', '10.9.9.9', '4420')
    with pytest.raises(OSError, match='does not name the controller'):
        nvme_connect.connect(subsystem.nqn, portal, HOST, settings.NVMe(), deadline())
    assert fabric.snapshot() == before


def test_the_module_is_loaded_when_it_is_needed(fabric: fake_nvme.StrikingFabric) -> None:
    subsystem = fabric.subsystem('one')
    (fabric.root / 'dev/nvme-fabrics').unlink()
    programs = seams.Programs({'modprobe nvme-fabrics': [(0, '', '')]})
    portal = fabrics.NvmePortal('rdma', min(subsystem.portals), '4420')
    # No one makes the node here.
    with (
        process.use(programs),
        pytest.raises(exception.OperationTimedOut, match='/dev/nvme-fabrics to appear'),
    ):
        nvme_connect.connect(subsystem.nqn, portal, HOST, settings.NVMe(), deadline(0.2))
    assert programs.started == ['modprobe nvme-fabrics']


def test_ended_once(fabric: fake_nvme.StrikingFabric) -> None:
    subsystem = fabric.subsystem('one')
    before = fabric.snapshot()
    made = connect(subsystem)
    nvme_connect.delete(made, deadline())
    assert fabric.snapshot() == before
    nvme_connect.delete(made, deadline())


@pytest.mark.parametrize('what', ['another one', 'the same subsystem, connected anew'])
def test_another_controller_of_that_name_stays(fabric: fake_nvme.StrikingFabric, what: str) -> None:
    subsystem = fabric.subsystem('one')
    made = connect(subsystem)
    fabric.lose(made.name)
    other = fabric.subsystem('two') if what == 'another one' else subsystem
    assert fabric.connect_by_hand(other) == made.name
    nvme_connect.delete(made, deadline())
    assert made.name in fabric.controllers


@pytest.mark.parametrize(
    ('state', 'becomes', 'is_wanted', 'gets_there'),
    [
        ('live', '', True, True),
        ('new', 'live', True, True),
        ('connecting', 'live', True, True),
        ('connecting', 'deleting', True, False),
        ('connecting', '', True, False),
        ('dead', '', True, False),
        ('connecting', 'live', False, False),
    ],
)
def test_waited_for(
    fabric: fake_nvme.StrikingFabric, state: str, becomes: str, is_wanted: bool, gets_there: bool
) -> None:
    made = connect(fabric.subsystem('one'))
    fabric.becomes(made.name, state)
    looks = []

    def look() -> bool:
        looks.append(1)
        if len(looks) == 2 and becomes:
            fabric.becomes(made.name, becomes)
        return is_wanted

    found = nvme_connect.wait_live(made, look, deadline(0.4))
    assert found == (made if gets_there else None)


@pytest.mark.parametrize('what', ['gone', 'another one', 'connected anew'])
def test_what_has_gone_while_it_is_waited_for(fabric: fake_nvme.StrikingFabric, what: str) -> None:
    subsystem = fabric.subsystem('one')
    made = connect(subsystem)
    fabric.lose(made.name)
    if what != 'gone':
        other = fabric.subsystem('two') if what == 'another one' else subsystem
        assert fabric.connect_by_hand(other) == made.name
    assert nvme_connect.wait_live(made, lambda: True, deadline(0.2)) is None
    # Fibre Channel's: its ID is not known before.
    early = dataclasses.replace(made, id='65535')
    assert nvme_connect.wait_live(early, lambda: True, deadline(0.2)) is None


def test_the_id_of_a_controller_that_was_not_connected_yet(
    fabric: fake_nvme.StrikingFabric,
) -> None:
    made = connect(fabric.subsystem('one'))
    early = dataclasses.replace(made, id='65535')
    assert nvme_connect.wait_live(early, lambda: True, deadline(0.2)) == made


def test_io_policy(fabric: fake_nvme.StrikingFabric) -> None:
    one, two = fabric.subsystem('one'), fabric.subsystem('two')
    place = '/sys/class/nvme-subsystem/{}/iopolicy'
    for subsystem in (one, two):
        fabric.connect_by_hand(subsystem)
        name = nvme_connect.subsystem_of(subsystem.nqn)
        fabric.file(place.format(name), 'numa')
    nvme_connect.set_io_policy(two.nqn, 'round-robin')
    assert files.read(place.format(nvme_connect.subsystem_of(one.nqn))) == 'numa'
    assert files.read(place.format(nvme_connect.subsystem_of(two.nqn))) == 'round-robin'
    assert nvme_connect.subsystem_of('nqn.2026-11.org.lab:three') is None
    nvme_connect.set_io_policy('nqn.2026-11.org.lab:three', 'numa')


@pytest.mark.parametrize(
    ('portal', 'addresses'),
    [
        (fabrics.NvmePortal('tcp', 'portal.lab', '4420'), ['10.0.0.1', '10.0.0.2']),
        (fabrics.NvmePortal('rdma', '10.0.0.7', '4420'), ['10.0.0.7']),
        (fabrics.NvmePortal('fc', 'nn-0x1:pn-0x2'), ['nn-0x1:pn-0x2']),
        (fabrics.NvmePortal('loop', 'portal.lab'), ['portal.lab']),
    ],
)
def test_names_of_portals(portal: fabrics.NvmePortal, addresses: list[str]) -> None:
    lab = network.Network(clock)
    lab.names = {'portal.lab': ('10.0.0.1', '10.0.0.2')}
    with net.use(lab):
        found = nvme_connect.resolve(portal, deadline())
    assert [each.address for each in found] == addresses
    assert {dataclasses.replace(each, address='') for each in found} == {
        dataclasses.replace(portal, address='')
    }
