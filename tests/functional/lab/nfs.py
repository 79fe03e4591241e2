# SPDX-License-Identifier: Apache-2.0
"""An NFS server in namespaces of its own, so that it can be cut off and stopped like another host.

It exports directories of a tmpfs. Its address is on the far end of a pair of virtual devices.
"""

from collections.abc import Callable
import os
import pathlib
import subprocess
import tempfile

from tests.functional.lab import net, shell

V4, V6 = (f'{net.NFS_SERVER[0]}.1', f'{net.NFS_SERVER[1]}1')
_HERE = (f'{net.NFS_SERVER[0]}.254/24', f'{net.NFS_SERVER[1]}fe/64')
_DEVICE, _FAR = 'labnfs0', 'labnfs1'
NFSD = '/proc/fs/nfsd'


class Server:
    """``/srv/NAME`` for each name, by NFS 3, 4.0, 4.1 and 4.2."""

    def __init__(self, *names: str) -> None:
        self._names = names
        shell.modules('nfsd', 'nfs', 'nfsv3', 'nfsv4')
        self._root = pathlib.Path(tempfile.mkdtemp(prefix='lab-nfs-'))
        self._holder = subprocess.Popen(
            ['unshare', '--net', '--mount', '--propagation', 'private', 'sleep', 'infinity'],
            stdin=subprocess.DEVNULL,
        )
        try:
            self._up()
        except BaseException:
            self.close()
            raise

    def _up(self) -> None:
        own = os.readlink('/proc/self/ns/net')
        ours = f'/proc/{self._holder.pid}/ns/net'
        shell.until(lambda: os.readlink(ours) != own, 10, 'the namespace of the NFS server')
        shell.until(self._has_begun, 10, 'the mount namespace of the NFS server')
        add = ('ip', 'link', 'add', _DEVICE, 'type', 'veth', 'peer', 'name', _FAR)
        shell.run(*add, 'netns', str(self._holder.pid))
        for address in _HERE:
            shell.run('ip', 'addr', 'add', address, 'dev', _DEVICE, 'nodad')
        shell.run('ip', 'link', 'set', _DEVICE, 'up')
        net.assert_leads(V4, _DEVICE)
        exports = '\n'.join(
            f'"/srv/{name}" *(rw,no_root_squash,no_subtree_check,insecure,fsid={number})'
            for number, name in enumerate(self._names, 1)
        )
        mkdir = 'mkdir ' + ' '.join(f'"/srv/{name}"' for name in self._names)
        self.run(
            f"""set -e
            ip link set lo up; ip addr add {V4}/24 dev {_FAR}
            ip addr add {V6}/64 dev {_FAR} nodad; ip link set {_FAR} up
            mount -t tmpfs tmpfs /run; mount -t tmpfs tmpfs /var/lib/nfs; mount -t tmpfs tmpfs /srv
            mkdir -p /run/rpcbind /var/lib/nfs/v4recovery /var/lib/nfs/rpc_pipefs
            touch /var/lib/nfs/etab /var/lib/nfs/rmtab
            mount -t nfsd nfsd {NFSD}
            echo '{exports}' > /run/exports; mount --bind /run/exports /etc/exports
            {mkdir}
            rpcbind -w
            exportfs -ra
            echo 10 > {NFSD}/nfsv4gracetime; echo 10 > {NFSD}/nfsv4leasetime
            rpc.mountd
            """
        )
        self.start()

    def _has_begun(self) -> bool:
        comm = shell.read(f'/proc/{self._holder.pid}/comm')
        return comm == 'sleep'

    def run(self, script: str) -> str:
        """Run a script of the shell where the server is."""
        enter = ('nsenter', '--target', str(self._holder.pid), '--net', '--mount')
        return shell.run(*enter, 'sh', '-c', script)

    def start(self, words: str = '') -> None:
        """Have the server answer; ``-N 4``: without that version."""
        self.run(f'rpc.nfsd --grace-time 10 --lease-time 10 {words} 4')
        # Not an error: with no client to wait for, the time for old ones is over already.
        self.run(f'echo Y > {NFSD}/v4_end_grace || true')

    def stop(self) -> None:
        """Have nothing listen at its port."""
        self.run('rpc.nfsd 0')

    def export(self, name: str, host: str = V4) -> str:
        """A share as a client names it."""
        return f'[{host}]:/srv/{name}' if ':' in host else f'{host}:/srv/{name}'

    def file(self, name: str, file: str, text: str) -> None:
        """Have a file on a share."""
        self.run(f"printf %s '{text}' > '/srv/{name}/{file}'")

    def close(self) -> None:
        """Take it away."""
        shell.run('ip', 'link', 'del', _DEVICE, check=False)
        if self._holder.poll() is None:
            for command in ('rpc.nfsd 0', 'exportfs -ua', 'pkill -x rpc.mountd; pkill -x rpcbind'):
                self._quietly(lambda command=command: self.run(command))
        self._holder.kill()
        self._holder.wait()
        self._root.rmdir()

    @staticmethod
    def _quietly(call: Callable[[], object]) -> None:
        try:
            call()
        except RuntimeError as error:
            print(f'NFS server: {error}')  # noqa: T201
