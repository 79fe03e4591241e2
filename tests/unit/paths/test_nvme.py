# SPDX-License-Identifier: Apache-2.0
"""Paths to a namespace: what an attach that ends early leaves on the host, which is nothing."""

import itertools
import pathlib

import pytest

from os_brick.initiator.connectors import nvmeof
from tests.unit import costs
from tests.unit.fakehost import nvme
from tests.unit.paths import test_ownership as ownership


@pytest.mark.parametrize('multipath', [True, False])
@pytest.mark.parametrize('how', ['late', 'interrupted', 'interrupted late'])
def test_an_attach_that_ends_at_any_act_leaves_nothing(
    tmp_path: pathlib.Path, how: str, multipath: bool
) -> None:
    """At once, and not only after the next attach and detach of the volume: the kernel may have
    made a controller of which the attach was never told."""
    for number in itertools.count():
        with ownership.Nvme.host_in(tmp_path / str(number)) as host:
            stage = ownership.Nvme(host, multipath=multipath)
            before = host.snapshot()
            host.fail(number, how)
            try:
                info = stage.brick.connect_volume(stage.props)
            except ownership.ERRORS:
                info = None
            what, host._fault = host.struck, None
            if not what:
                assert number == (3 if multipath else 2)
                return
            if info is not None:
                stage.brick.disconnect_volume(stage.props, info)
            assert host.snapshot() == before, what


@pytest.mark.parametrize('is_numbered', [True, False])
@pytest.mark.parametrize(('ports', 'others'), [(1, 0), (1, 3), (4, 0)])
def test_calls_of_root_functions(
    tmp_path: pathlib.Path, is_numbered: bool, ports: int, others: int
) -> None:
    """Attach: a connection a path, and a read that asks who the namespace is.

    Extend: who it is and how large. Detach: one flush of what nothing uses, and an end a path. A
    path that joins late may be asked once more: the kernel has taken its time.
    """
    with ownership.Nvme.host_in(tmp_path) as host:
        for number in range(others):
            subsystem = host.subsystem(f'other {number}')
            subsystem.namespaces[1] = nvme.Volume(f'other {number}')
            nvmeof.NVMeOFConnector(None).connect_volume(subsystem.properties(1))
        subsystem = host.subsystem('one', portals=ports)
        subsystem.namespaces[1] = nvme.Volume('gold')
        props = subsystem.properties(1, **({'ns_id': 1} if is_numbered else {}))
        brick = nvmeof.NVMeOFConnector(None, use_multipath=ports > 1)
        acts = host.acts
        with costs.Counter() as attach:
            info = brick.connect_volume(props)
        acts = host.acts - acts
        with costs.Counter() as extend:
            brick.extend_volume({**props, 'device_path': info['path']})
        with costs.Counter() as detach:
            brick.disconnect_volume(props, info)
        calls = (attach.root_calls, extend.root_calls, detach.root_calls)
        if ports == 1:
            assert calls == (2, 1, 2)
            assert acts == 2, 'children'
        else:
            assert attach.root_calls <= 2 * ports
            assert acts <= 2 * ports
            assert extend.root_calls == 1
            assert detach.root_calls <= ports + 1


def test_calls_of_root_functions_where_a_controller_is_there(tmp_path: pathlib.Path) -> None:
    """It says who the namespace is, and once more after the read; it stays with the other one."""
    with ownership.Nvme.host_in(tmp_path) as host:
        subsystem = host.subsystem('one')
        subsystem.namespaces |= {1: nvme.Volume('gold'), 2: nvme.Volume('silver')}
        brick = nvmeof.NVMeOFConnector(None)
        brick.connect_volume(subsystem.properties(1))
        props = subsystem.properties(2)
        with costs.Counter() as attach:
            info = brick.connect_volume(props)
        with costs.Counter() as detach:
            brick.disconnect_volume(props, info)
        assert (attach.root_calls, detach.root_calls) == (2, 1)
