# SPDX-License-Identifier: Apache-2.0
"""Every file and directory that an operation of Fibre Channel or NVMe meets, in every state.

As ``test_host_files`` has it for iSCSI. Lock files and states are those of the volume itself, which
an earlier attach has made.
"""

from collections.abc import Callable, Iterator
import contextlib
import os
import pathlib
import shutil
import time
from typing import Any

import pytest

from os_brick import exception
from os_brick.initiator.connectors import fibre_channel, nvmeof
from tests.unit.fakehost import array, fabric, nvme
from tests.unit.initiator.connectors import test_host_files as host_files

LOCKS, LOCK_FILES, STATE_FILES = 'LOCKS', 'LOCK FILES', 'STATE FILES'
# Whether it is a directory.
FILES: dict[str, dict[str, bool]] = {
    'fc': {
        '/etc/multipath': True,
        '/etc/multipath/wwids': False,
        LOCKS: True,
        LOCK_FILES: False,
    },
    'nvme': {
        '/etc/nvme': True,
        '/etc/nvme/hostnqn': False,
        '/etc/nvme/hostid': False,
        '/sys/class/dmi/id/product_uuid': False,
        LOCKS: True,
        LOCK_FILES: False,
        STATE_FILES: False,
    },
}


class FibreChannel:
    """A host with a volume of an array."""

    def __init__(self, host: fabric.FabricHost) -> None:
        self.host, self.locks, self.root = host, host.place / 'locks', host.tree.root
        storage = host.storage(ports=2)
        storage.luns[1] = array.Unit()
        host.adapter(storage)
        self.props = storage.properties()
        self.brick: Any = fibre_channel.FibreChannelConnector(
            None, use_multipath=True, enforce_multipath=True
        )

    def seconds(self) -> float:
        return self.host.clock.monotonic()

    def left(self) -> list[str]:
        return [*self.host.disks, *self.host.maps]


class Nvme:
    """A host with a namespace of a subsystem."""

    def __init__(self, host: nvme.StrikingFabric) -> None:
        self.host, self.locks, self.root = host, host.root.parent / 'locks', host.root
        subsystem = host.subsystem('gold', portals=2)
        subsystem.namespaces[3] = nvme.Volume('gold')
        self.props = subsystem.properties(3)
        self.brick: Any = nvmeof.NVMeOFConnector(None, use_multipath=True)

    def seconds(self) -> float:
        return time.monotonic()

    def left(self) -> list[str]:
        return [*self.host.controllers, *nvme.states(self.locks.parent)]


@contextlib.contextmanager
def stage(kind: str, place: pathlib.Path) -> Iterator[FibreChannel | Nvme]:
    if kind == 'fc':
        with fabric.FabricHost(place) as host:
            yield FibreChannel(host)
        return
    with nvme.striking(place) as found:
        yield Nvme(found)


def paths(case: FibreChannel | Nvme, name: str) -> list[pathlib.Path]:
    """The files that a name stands for, as they are now."""
    if name == LOCKS:
        return [case.locks]
    if name in (LOCK_FILES, STATE_FILES):
        found = [each for each in case.locks.rglob('*') if each.is_file()]
        return [each for each in found if ('-state-' in str(each)) is (name == STATE_FILES)]
    return [case.root / name[1:]]


def broken(case: FibreChannel | Nvme, name: str, state: str, act: Callable[[], Any]) -> Any:
    """What comes of an act while files are in a state, after which they are as before."""
    found = paths(case, name)
    kept = case.locks.parent / 'kept-by-the-test'
    kept.mkdir()
    for number, path in enumerate(found):
        if path.is_dir():
            shutil.copytree(path, kept / str(number), symlinks=True)
        elif path.exists():
            shutil.copy(path, kept / str(number))
        host_files.STATES[state](path)
    begun, text = case.seconds(), '/'
    try:
        return act()
    except exception.BrickException as error:
        text = str(error)
        return None
    finally:
        for number, path in enumerate(found):
            _restore(path, kept / str(number))
        shutil.rmtree(kept)
        assert '/' in text, f'the error names no path: {text}'
        assert case.seconds() - begun < 60


def _restore(path: pathlib.Path, kept: pathlib.Path) -> None:
    host_files._missing(path)
    host_files._missing(path.with_name(f'{path.name}.real'))
    if os.path.lexists(kept):
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(kept, path)


CASES = [
    (kind, name, state)
    for kind, names in FILES.items()
    for name, is_directory in names.items()
    for state in host_files.STATES
    if not is_directory or state in host_files.OF_DIRECTORIES
]


@pytest.mark.parametrize(('kind', 'name', 'state'), CASES)
def test_every_file_in_every_state(
    tmp_path: pathlib.Path, kind: str, name: str, state: str
) -> None:
    with stage(kind, tmp_path) as case:
        brick, props = case.brick, case.props
        if name in (LOCK_FILES, STATE_FILES):
            first = brick.connect_volume(props)
            assert paths(case, name)
            found = broken(case, name, state, lambda: brick.connect_volume(props)) or first
        else:
            found = broken(case, name, state, lambda: brick.connect_volume(props))
        if found is not None:
            brick.disconnect_volume(props, found, force=True, ignore_errors=True)
        info = brick.connect_volume(props)
        broken(case, name, state, lambda: brick.extend_volume(props))
        broken(case, name, state, lambda: brick.disconnect_volume(props, info))
        brick.disconnect_volume(props, info)
        case.host.settle()
        assert not case.left()
