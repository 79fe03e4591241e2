# SPDX-License-Identifier: Apache-2.0
"""Another disk in the place of a virtual machine's.

Methods and types are those of the vSphere Web Services API Reference
(https://developer.broadcom.com/xapis/vsphere-web-services-api/latest/): FileManager,
VirtualDiskManager and VirtualMachine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
import urllib.parse

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import http, scratch, undo
from os_brick.initiator.connectors import vmware_machine
from os_brick.initiator.connectors.vmware_machine import Disk
from os_brick.initiator.connectors.vmware_session import Fault, Reverse, Session, require_done
from os_brick.request.vmware import DatastorePath, VmdkRequest

LOG = logging.getLogger(__name__)

TMP_IMAGES_DATASTORE_FOLDER_PATH = 'cinder_temp'

_MOST_PARENTS = 64


class Upload:
    """One disk that is put in the place of a virtual machine's.

    The new disk is complete in the datastore before the machine is told of it, in one step that
    also takes the old one away, which is deleted only then. So the machine has a whole disk at
    every moment, whatever fails, and whenever this process is killed.
    """

    def __init__(self, session: Session, volume: VmdkRequest, address: str) -> None:
        """Look at the machine.

        :param address: the disk's when its volume was attached; empty if that is not known.
        :raises BrickException: if it has snapshots, or no disk that is the volume's.
        """
        self._session = session
        self._machine = session.reference('VirtualMachine', volume.machine)
        self._datacenter = session.reference('Datacenter', volume.datacenter)
        datastore = session.reference('Datastore', volume.datastore)
        self._datastore = str(session.read(datastore, 'summary.name'))
        self._temporary = DatastorePath(
            self._datastore, f'{TMP_IMAGES_DATASTORE_FOLDER_PATH}/{volume.volume_id}.vmdk'
        )
        self._volume, self._address = volume, address
        self._require_no_snapshots()
        self._old = _file_of(self._disk())
        self._new = self._old.with_path(vmware_machine.other_name(self._old.path))

    def run(self, path: str) -> None:
        """Put the file in the disk's place.

        :raises BrickException: if that fails; the machine has its old disk then, or its new one
            where the error says so.
        """
        with undo.Undo() as steps:
            self._send(path, steps)
            self._copy(steps)
            self._swap(steps)
        self._remove(self._delete_disk, self._old)
        self._remove(self._delete_file, self._temporary)

    def _require_no_snapshots(self) -> None:
        found = self._session.read(self._machine, 'snapshot')
        if found is not None and getattr(found, 'rootSnapshotList', None):
            raise exception.BrickException(
                f'Virtual machine {self._machine.value} has snapshots: its disk cannot be replaced '
                '(https://bugs.launchpad.net/cinder/+bug/1599026)'
            )

    def _disk(self) -> Disk:
        found = vmware_machine.disks(self._session, self._machine)
        return vmware_machine.volumes_disk(self._machine, found, self._volume, self._address)

    def _send(self, path: str, steps: undo.Undo) -> None:
        """Have the file in the datastore."""
        session = self._session
        files = session.manager('fileManager')
        folder = f'[{self._datastore}] {TMP_IMAGES_DATASTORE_FOLDER_PATH}'
        try:
            session.call('MakeDirectory', files, name=folder, datacenter=self._datacenter)
        except Fault as error:
            if error.kind != 'FileAlreadyExists':
                raise
        seen = scratch.look(path)
        where = {'dcPath': self._datacenter_path(), 'dsName': self._datastore}
        quoted = urllib.parse.quote(self._temporary.path)
        request = http.Request(
            'PUT',
            f'/folder/{quoted}?{urllib.parse.urlencode(where)}',
            {
                'Cookie': session.cookie,
                'Content-Length': str(seen[0]),
                'Content-Type': 'application/octet-stream',
                'Overwrite': 't',
            },
        )
        steps.adopt(self._reverse(self._delete_file, self._temporary))
        client = http.Client(session.server)
        answer = client.stream(request, session.deadline, source=scratch.parts(path, seen))
        require_done(answer, 'the file is not taken')

    def _datacenter_path(self) -> str:
        """The place of the datacenter in the inventory, which may be in folders."""
        found: list[str] = []
        here = self._datacenter
        for _level in range(_MOST_PARENTS):
            parent = self._session.read(here, 'parent')
            if parent is None:
                break
            found.insert(0, str(self._session.read(here, 'name')))
            here = parent
        # Names have "%2f" for a slash already.
        return '/'.join(found)

    def _copy(self, steps: undo.Undo) -> None:
        """Make a disk of the file, which is none that a machine can use, beside the old one.

        One that a killed process has left there is deleted first.
        """
        self._delete_unused(self._new)
        steps.adopt(self._reverse(self._delete_unused, self._new))
        self._session.run(
            'CopyVirtualDisk_Task',
            self._session.manager('virtualDiskManager'),
            sourceName=str(self._temporary),
            sourceDatacenter=self._datacenter,
            destName=str(self._new),
            destDatacenter=self._datacenter,
        )

    def _swap(self, steps: undo.Undo) -> None:
        """Have the machine use the new disk; both changes are one step for it."""
        disk = self._disk()
        if disk.path != self._old:
            raise exception.VolumeIdentityMismatch.of(
                f'Virtual machine {self._machine.value}', f'the disk {self._old}', str(disk)
            )
        old = disk.device
        make = self._session.factory
        backing = make(
            'VirtualDiskFlatVer2BackingInfo', fileName=str(self._new), diskMode='persistent'
        )
        new = make(
            'VirtualDisk',
            key=-1,
            controllerKey=old.controllerKey,
            unitNumber=old.unitNumber,
            capacityInKB=old.capacityInKB,
            backing=backing,
        )
        changes = [
            make('VirtualDeviceConfigSpec', operation='remove', device=old),
            make('VirtualDeviceConfigSpec', operation='add', device=new),
        ]
        spec = make('VirtualMachineConfigSpec', deviceChange=changes)
        try:
            self._session.run('ReconfigVM_Task', self._machine, spec=spec)
        except Fault:
            raise
        except BaseException as error:  # noqa: BLE001 raised again, unless it was done all the same
            self._settle(error, steps)

    def _settle(self, error: BaseException, steps: undo.Undo) -> None:
        """What to do where it is not known whether the machine was told of the new disk.

        :raises BrickException: the error, unless the machine has the new disk.
        """
        self._session.begin_clean_up()
        try:
            has_new = self._disk().path == self._new
        except exception.BrickException:
            has_new = False
        if has_new:
            LOG.warning('Virtual machine %s has its new disk: %s', self._machine.value, error)
            return
        # It may get it yet: then it must be there. The next attempt deletes what is not used.
        steps.drop()
        self._remove(self._delete_file, self._temporary)
        error.add_note(f'The disk {self._new} is left, because the server may use it yet')
        raise error

    # What is not there is deleted already.

    def _delete_unused(self, path: DatastorePath) -> None:
        """Delete a disk that the machine does not have: one that is off would let it go.

        :raises VolumeIdentityMismatch: if it has it, as the volume's or as another one's.
        """
        for disk in vmware_machine.disks(self._session, self._machine):
            if disk.path == path:
                raise exception.VolumeIdentityMismatch.of(
                    str(path),
                    'a file that no disk has, to be deleted',
                    f'virtual machine {self._machine.value} has {disk}',
                )
        self._delete_disk(path)

    def _delete_disk(self, path: DatastorePath) -> None:
        manager = self._session.manager('virtualDiskManager')
        self._delete('DeleteVirtualDisk_Task', manager, path)

    def _delete_file(self, path: DatastorePath) -> None:
        self._delete('DeleteDatastoreFile_Task', self._session.manager('fileManager'), path)

    def _delete(self, method: str, manager: Any, path: DatastorePath) -> None:
        try:
            self._session.run(method, manager, name=str(path), datacenter=self._datacenter)
        except Fault as error:
            if error.kind not in ('FileNotFound', 'FileNotFoundFault'):
                raise

    def _reverse(self, delete: Callable[[DatastorePath], None], path: DatastorePath) -> Reverse:
        def take_back() -> None:
            self._session.begin_clean_up()
            delete(path)

        return Reverse(f'{path}', take_back)

    def _remove(self, delete: Callable[[DatastorePath], None], path: DatastorePath) -> None:
        """Delete what is not needed any more; the volume is right whether it goes or not."""
        try:
            delete(path)
        except exception.BrickException as error:
            LOG.warning('%s is left in the datastore: %s', path, error)


def _file_of(disk: Disk) -> DatastorePath:
    if disk.path is None:
        raise exception.BrickException(f'{disk} has no file in a datastore: it cannot be replaced')
    return disk.path
