# SPDX-License-Identifier: Apache-2.0
"""Another host, as far as its network and its names go: a network and a mount namespace.

Connections of NVMe/TCP belong to the network namespace of the process that makes them, and the
name that they give is in ``/etc/nvme``, so an array sees two hosts. The kernel is one: both hosts
see all controllers in ``/sys``, and one device of a volume that both have attached.
"""

import os
import subprocess
from types import TracebackType
import uuid

from tests.functional.lab import net, shell

_DEVICE, _FAR = 'labhost0', 'labhost1'
_ADDRESSES = (f'{net.ELSEWHERE}.254/24', f'{net.ELSEWHERE}.1/24')


class Host:
    """The host, from which every portal of the lab is reached; a context."""

    def __init__(self) -> None:
        self.host_id = str(uuid.uuid4())
        self.nqn = f'nqn.2014-08.org.nvmexpress:uuid:{self.host_id}'
        words = ['unshare', '--net', '--mount', '--propagation', 'private', 'sleep', 'infinity']
        self._holder = subprocess.Popen(words, stdin=subprocess.DEVNULL)

    @property
    def wrapper(self) -> list[str]:
        """What starts a program there."""
        return ['nsenter', '--target', str(self._holder.pid), '--net', '--mount']

    def __enter__(self) -> 'Host':
        comm = f'/proc/{self._holder.pid}/comm'
        shell.until(lambda: shell.read(comm) == 'sleep', 10, 'the namespaces of another host')
        pair = ('type', 'veth', 'peer', 'name', _FAR, 'netns', str(self._holder.pid))
        shell.run('ip', 'link', 'add', _DEVICE, *pair)
        shell.run('ip', 'addr', 'add', _ADDRESSES[0], 'dev', _DEVICE)
        shell.run('ip', 'link', 'set', _DEVICE, 'up')
        script = f"""set -e
            ip link set lo up; ip addr add {_ADDRESSES[1]} dev {_FAR}; ip link set {_FAR} up
            ip route add default via {_ADDRESSES[0].partition('/')[0]}
            mount -t tmpfs tmpfs /etc/nvme
            echo {self.nqn} > /etc/nvme/hostnqn; echo {self.host_id} > /etc/nvme/hostid
            """
        shell.run(*self.wrapper, 'sh', '-c', script)
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._holder.kill()
        self._holder.wait()
        if os.path.exists(f'/sys/class/net/{_DEVICE}'):
            shell.run('ip', 'link', 'del', _DEVICE, check=False)
