# SPDX-License-Identifier: Apache-2.0
"""How many calls of functions an operation makes: what is left of its time if the host is quick.

In the emulated guest half of a detach was spent in them. The limits are a fifth above what was
counted with Python 3.11; each comes down with what is saved.
"""

import contextlib
import pathlib
from typing import Any

from oslo_config import cfg
import pytest

from os_brick.core import process
from os_brick.initiator.connectors import nvmeof
from tests.unit import costs, seams
from tests.unit.fakehost import nvme
from tests.unit.initiator.connectors import test_root_calls

# Attach and detach of a volume with one path, without multipath.
LIMITS = {'iscsi': (6300, 5800), 'fc': (4800, 4700), 'nvme': (5600, 4050)}


def _volume(
    place: pathlib.Path, stack: contextlib.ExitStack, kind: str
) -> tuple[Any, dict[str, Any]]:
    if kind != 'nvme':
        _, brick, props, _ = test_root_calls.volume(place, stack, kind, 1, multipath=False)
        return brick, props
    cfg.CONF.set_override('lock_path', f'{place}/locks', group='os_brick')
    stack.callback(cfg.CONF.clear_override, 'lock_path', group='os_brick')
    stack.enter_context(process.use(seams.Programs({})))
    host = stack.enter_context(nvme.Fabric(place, native=True))
    subsystem = host.subsystem('s')
    subsystem.namespaces[1] = nvme.Volume('gold')
    return nvmeof.NVMeOFConnector(None, use_multipath=True), subsystem.properties(1)


@pytest.mark.parametrize('kind', LIMITS)
def test_effort(tmp_path: pathlib.Path, kind: str) -> None:
    """The least of some lives of a volume: the first one imports, and some waits look again."""
    found = []
    with contextlib.ExitStack() as stack:
        brick, props = _volume(tmp_path, stack, kind)
        for _ in range(4):
            attach, detach = costs.Effort(), costs.Effort()
            with attach:
                info = brick.connect_volume(props)
            with detach:
                brick.disconnect_volume(props, info)
            found.append((attach.calls, detach.calls))
    least = tuple(map(min, zip(*found[1:], strict=True)))
    assert all(map(int.__le__, least, LIMITS[kind])), f'{least} of {found}'
