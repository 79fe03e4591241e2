# SPDX-License-Identifier: Apache-2.0
"""The disk of a virtual machine, downloaded to this host as a file.

Methods and types are those of the vSphere Web Services API Reference
(https://developer.broadcom.com/xapis/vsphere-web-services-api/latest/): HttpNfcLease.
"""

from __future__ import annotations

from collections.abc import Callable
import functools
from typing import Any
import urllib.parse

from os_brick import exception
from os_brick.core import clock, http, scratch, undo
from os_brick.initiator.connectors import vmware_machine
from os_brick.initiator.connectors.vmware_machine import Disk
from os_brick.initiator.connectors.vmware_session import Reverse, Session, require_done
from os_brick.request.vmware import VmdkRequest

# A lease ends after five minutes without a word (HttpNfcLeaseInfo.leaseTimeout).
_PROGRESS_SECONDS = 30.0
_MOST_BYTES = 64 << 40
_LONGEST_KEY = 80


def download(session: Session, volume: VmdkRequest, file: scratch.Incoming) -> str:
    """Have the disk of a volume in a file, as the server exports it (stream-optimized).

    :return: its address at the machine (:class:`vmware_machine.Disk`).
    :raises VolumeIdentityMismatch: if the machine has no such disk, or several, and it is not
        known which one of the exported ones it is.
    :raises StorageServerError: if the server breaks off.
    :raises BrickException: if it does not export the disk.
    """
    machine = session.reference('VirtualMachine', volume.machine)
    lease = session.call('ExportVm', machine)
    with undo.Undo() as steps:
        steps.adopt(Reverse('export of a disk', functools.partial(_abort, session, lease)))
        _wait_ready(session, lease)
        # The machine cannot be changed while the lease is held.
        disk, exported = _exported(session, machine, lease, volume)
        server, path = _source(session, exported)
        headers = {'Cookie': session.cookie} if server == session.server else {}
        progress = _Progress(session, lease, volume.size, file.write)
        answer = http.Client(server).stream(
            http.Request('GET', path, headers),
            session.deadline,
            sink=progress.take,
            most_bytes=_MOST_BYTES,
        )
        require_done(answer, 'the disk is not exported')
        progress.require_some(answer)
        session.call('HttpNfcLeaseComplete', lease)
        return disk.address


def _abort(session: Session, lease: Any) -> None:
    session.begin_clean_up()
    session.call('HttpNfcLeaseAbort', lease)


def _wait_ready(session: Session, lease: Any) -> None:
    def probe() -> bool | None:
        state = str(session.read(lease, 'state'))
        if state == 'initializing':
            return None
        if state != 'ready':
            error = session.read(lease, 'error')
            why = getattr(error, 'localizedMessage', '') or f'the lease is in state {state}'
            raise exception.BrickException(f'{session.server} does not export the disk: {why}')
        return True

    session.wait(probe, f'the export of a disk by {session.server}')


def _exported(session: Session, machine: Any, lease: Any, volume: VmdkRequest) -> tuple[Disk, Any]:
    """The disk of the volume, and what the server says of it (HttpNfcLeaseDeviceUrl).

    The server names an exported disk by a key such as ``/vm-42/VirtualLsiLogicController0:1``. Its
    form is not part of the API's description (vCenter and ESXi 5 to 8 have it), so a disk that is
    the only one, of the machine and of the export, is taken whatever its key is.
    """
    disks = vmware_machine.disks(session, machine)
    disk = vmware_machine.volumes_disk(machine, disks, volume)
    info = session.read(lease, 'info')
    found = [each for each in getattr(info, 'deviceUrl', ()) if getattr(each, 'disk', False)]
    if not found:
        raise exception.BrickException(f'{session.server} exports no disk of the virtual machine')
    if len(found) == len(disks) == 1:
        return disk, found[0]
    same = [each for each in found if _address(each) == disk.address]
    if not len(same) == [each.address for each in disks].count(disk.address) == 1:
        raise exception.VolumeIdentityMismatch.of(
            f'The export of virtual machine {machine.value} with {len(disks)} disks',
            f'one of {disk}',
            ', '.join(_address(each) or 'one without a key' for each in found),
        )
    return disk, same[0]


def _address(exported: Any) -> str:
    return str(getattr(exported, 'key', None) or '').rpartition('/')[2][:_LONGEST_KEY]


def _source(session: Session, exported: Any) -> tuple[http.Server, str]:
    """Where the disk can be read: this server, or the host of the virtual machine.

    The host has a certificate of its own, whose thumbprint the server tells. An ESXi server has an
    asterisk for itself.
    """
    url = urllib.parse.urlsplit(str(exported.url))
    own = session.server
    path = f'{url.path}?{url.query}' if url.query else url.path
    if url.netloc == '*':
        return own, path
    if url.scheme != 'https' or not url.hostname:
        raise exception.BrickException(f'{own} exports the disk at an address that is not https')
    host, port = url.hostname, url.port or 443
    if (host, port) == (own.host.lower(), own.port):
        return own, path
    tls = own.tls or http.Tls()
    thumbprint = str(getattr(exported, 'sslThumbprint', None) or '') or None
    return http.Server(host, port, http.Tls(tls.verify, tls.ca_path, thumbprint)), path


class _Progress:
    """Takes the parts of a disk, and tells the lease from time to time that they come."""

    def __init__(
        self, session: Session, lease: Any, size: int, write: Callable[[bytes], None]
    ) -> None:
        self._session = session
        self._lease = lease
        self._size = size
        self._write = write
        self._done = 0
        self._told = clock.monotonic()

    def require_some(self, answer: http.Answer) -> None:
        """Have it be more than nothing: a disk without content has a header.

        :raises StorageServerError: if it is nothing.
        """
        if not self._done:
            raise exception.StorageServerError(
                server=str(answer.server),
                request=str(answer.request),
                why='the exported disk is empty',
            )

    def take(self, part: bytes) -> None:
        self._write(part)
        self._done += len(part)
        if clock.monotonic() - self._told > _PROGRESS_SECONDS:
            self._told = clock.monotonic()
            # The export is smaller than the disk; 100 would say that it is over.
            percent = min(99, self._done * 100 // max(self._size, 1))
            self._session.call('HttpNfcLeaseProgress', self._lease, percent=percent)
