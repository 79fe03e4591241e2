# SPDX-License-Identifier: Apache-2.0
"""A StorPool cluster whose client on this machine makes loop devices of files in RAM.

    with storpool.Lab() as cluster:
        volume = cluster.volume('v1', megabytes=16)
        cluster.properties('v1')

The cluster's API answers at a port of 127.0.0.1; ``/etc/storpool.conf`` is written for it. A device
has the link that StorPool's udev rules make. It goes as a whole when the volume is detached, and
the cluster reports it as open while any process has it open.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pathlib
from typing import Any, Self

from tests.doubles import storpool as double
from tests.functional.lab import loops, shell

CLIENT = 7
CONF = pathlib.Path('/etc/storpool.conf')
BYID = pathlib.Path('/dev/storpool-byid')
_IMAGES = '/dev/shm/lab-storpool-'
# linux/loop.h: removes a device that is not in use.
_CTL_REMOVE = 0x4C81


class Client:
    """StorPool's block service here."""

    def __init__(self) -> None:
        self.devices: dict[str, str] = {}
        # How long a device takes to come.
        self.delay = 0.0

    def image(self, global_id: str) -> pathlib.Path:
        return pathlib.Path(_IMAGES + global_id)

    def attach(self, global_id: str, name: str, size: int, position: int, rights: str) -> None:
        image = self.image(global_id)
        with image.open('ab') as file:
            file.truncate(size)
        device = loops.attach(image)
        self.devices[global_id] = device
        BYID.mkdir(exist_ok=True)
        os.symlink(device, BYID / global_id)

    def detach(self, global_id: str) -> None:
        device = self.devices.pop(global_id)
        (BYID / global_id).unlink()
        loops.detach(device)
        shell.until(lambda: _removed(device), 10, f'{device} is gone')

    def resize(self, global_id: str, size: int) -> None:
        loops.grow(self.devices[global_id], self.image(global_id), size >> 20)

    def is_open(self, global_id: str) -> bool:
        return _is_open(self.devices[global_id])


def _removed(device: str) -> bool:
    number = int(device.removeprefix('/dev/loop'))
    with open('/dev/loop-control', 'rb') as control:
        try:
            fcntl.ioctl(control, _CTL_REMOVE, number)
        except OSError as error:
            if error.errno != errno.EBUSY:
                return error.errno == errno.ENODEV
            return False
    return True


def _is_open(device: str) -> bool:
    for descriptor in pathlib.Path('/proc').glob('[0-9]*/fd/*'):
        with contextlib.suppress(OSError):
            if os.readlink(descriptor) == device:
                return True
    return False


class Lab:
    """A cluster, its service and this machine as its client."""

    def __init__(self) -> None:
        self.state = double.Cluster()
        self.client = Client()
        self.state.clients[CLIENT] = self.client
        self.server = double.Server(self.state)
        CONF.write_text(
            f'SP_API_HTTP_PORT={self.server.port}\nSP_AUTH_TOKEN={double.TOKEN}\n'
            f'[{os.uname().nodename}]\nSP_OURID={CLIENT}\n'
        )

    def volume(self, name: str, megabytes: int = 16) -> double.Volume:
        volume = self.state.create(f'os--volume-{name}', megabytes << 20)
        self.client.image(volume.global_id).write_bytes(name.encode().ljust(4096, b'.'))
        return volume

    def content(self, volume: double.Volume, length: int, offset: int = 0) -> bytes:
        """What has arrived at a volume."""
        with self.client.image(volume.global_id).open('rb') as file:
            file.seek(offset)
            return file.read(length)

    @staticmethod
    def properties(name: str, **more: Any) -> dict[str, Any]:
        return {'client_id': CLIENT, 'volume': name, 'access_mode': 'rw', **more}

    def attached(self) -> dict[str, str]:
        return self.state.of_client(CLIENT)

    def close(self) -> None:
        self.server.close()
        for global_id in list(self.client.devices):
            self.client.detach(global_id)
        for image in pathlib.Path('/dev/shm').glob('lab-storpool-*'):
            image.unlink()
        CONF.unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            BYID.rmdir()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()
