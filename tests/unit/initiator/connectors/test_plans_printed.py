# SPDX-License-Identifier: Apache-2.0
"""The plans in the debug log are what is done: each act that they name, and no other."""

import logging
import pathlib

import pytest

from os_brick.initiator.connectors import fibre_channel, iscsi, nvmeof
from tests.unit.fakehost import array, fabric, nvme
from tests.unit.fakehost import host as fake_host

MAKING = ('make node record', 'log in', 'scan')


def plan_of(caplog: pytest.LogCaptureFixture, kind: str) -> list[str]:
    """The steps of the last plan of a kind in the log; the log is cleared."""
    plans = [r.getMessage() for r in caplog.records if r.getMessage().startswith(f'{kind} of ')]
    caplog.clear()
    return [line.strip() for line in plans[-1].splitlines()[1:]]


def counts(steps: list[str], *verbs: str) -> list[int]:
    return [sum(step.startswith(verb) for step in steps) for verb in verbs]


def test_iscsi(host: fake_host.Host, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, 'os_brick')
    target = host.target('t1', portals=2)
    target.luns[1] = array.Unit('gold')
    brick = iscsi.ISCSIConnector(None, use_multipath=True)
    props = target.properties(plural=True)

    brick.connect_volume(props)
    steps = plan_of(caplog, 'Attach')
    assert counts(steps, 'ask portal', *MAKING) == [2, 2, 2, 2]
    assert steps[-1] == 'build multipath map'
    assert len(host.sessions) == len(host.maps['dm-0'].disks) == 2

    attached = host.snapshot()
    brick.connect_volume(props)
    steps = plan_of(caplog, 'Attach')
    assert counts(steps, *MAKING) == [0, 0, 0]
    assert counts(steps, 'use session', 'verify identity') == [2, 2]
    assert host.snapshot() == attached

    target.luns[1].megabytes *= 2
    brick.extend_volume(props)
    grown = [r.getMessage() for r in caplog.records if r.getMessage().startswith('Growth of ')]
    assert [text.count('read capacity') for text in grown] == [2, 0]
    assert [text.count('resize map device=dm-0') for text in grown] == [0, 1]


def test_fibre_channel(tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, 'os_brick')
    with fabric.FabricHost(tmp_path) as host:
        storage = host.storage(ports=2)
        storage.luns[1] = array.Unit('gold')
        for _ in range(2):
            host.adapter(storage)
        brick = fibre_channel.FibreChannelConnector(None, use_multipath=True)
        props = storage.properties()

        brick.connect_volume(props)
        paths = len(host.maps['dm-0'].disks)
        assert counts(plan_of(caplog, 'Attach'), 'scan', 'verify identity') == [paths, paths]

        attached = host.snapshot()
        brick.connect_volume(props)
        assert counts(plan_of(caplog, 'Attach'), 'scan', 'verify identity') == [0, paths]
        assert host.snapshot() == attached


def test_nvme(tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, 'os_brick')
    with nvme.striking(tmp_path) as host:
        subsystem = host.subsystem('s', portals=2)
        subsystem.namespaces[1] = nvme.Volume('gold')
        brick = nvmeof.NVMeOFConnector(None, use_multipath=True)
        props = subsystem.properties(1)

        brick.connect_volume(props)
        steps = plan_of(caplog, 'Attach')
        # The portals of this fabric are RDMA's.
        assert counts(steps, 'ask portal', 'connect', 'find namespace') == [0, 2, 2]
        assert len(host.controllers) == 2

        brick.connect_volume(props)
        steps = plan_of(caplog, 'Attach')
        assert counts(steps, 'connect', 'use controller') == [0, 2]
        assert len(host.controllers) == 2

        subsystem.namespaces[1].size *= 2
        brick.extend_volume(props)
        grown = [r.getMessage() for r in caplog.records if r.getMessage().startswith('Growth of ')]
        assert [text.count('ask for size') for text in grown] == [2, 0]
        assert [text.count('wait for size') for text in grown] == [0, 1]
