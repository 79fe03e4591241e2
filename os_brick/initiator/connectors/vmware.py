# SPDX-License-Identifier: Apache-2.0
"""Virtual disks of VMware's vSphere, as files of this host: for backup and for migration."""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses
import errno
import functools
import os
from typing import Any

from os_brick import exception, opts
from os_brick.core import files, locks, observe, operation, scratch, teardown, undo
from os_brick.host import note_entry
from os_brick.initiator import initiator_connector
from os_brick.initiator.connectors import vmware_disk, vmware_export, vmware_session
from os_brick.plans import acts, agents
from os_brick.plans.agents import Verb
from os_brick.request import common, result
from os_brick.request import vmware as request_vmware

Raw = Mapping[str, Any]
Volume = request_vmware.VmdkRequest

_SUFFIX = '.vmdk'


class VmdkConnector(initiator_connector.InitiatorConnector):
    """Downloads a virtual disk, and puts it back into its place if it was changed."""

    TMP_IMAGES_DATASTORE_FOLDER_PATH = vmware_disk.TMP_IMAGES_DATASTORE_FOLDER_PATH

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Have what is needed.

        :raises HostNotReady: naming the extra, if oslo.vmware is not installed.
        """
        vmware_session.require()
        given = {'root_helper': None, **kwargs} if not args else kwargs
        super().__init__(*args, **given)

    @staticmethod
    def get_connector_properties(
        root_helper: str | None, *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        """Return nothing: vSphere asks for nothing of this host."""
        return {}

    def check_valid_device(self, path: str, *args: Any, **kwargs: Any) -> bool:
        """Whether a downloaded disk can be read."""
        try:
            scratch.require_readable(os.fsdecode(path))
        except OSError:
            return False
        return True

    def get_volume_paths(self, connection_properties: Raw) -> list[str]:
        """Return nothing: a volume has the path that its attach has returned."""
        return []

    def get_search_path(self) -> str | None:
        """Return nothing: each volume says where its copy is to be."""
        return None

    def get_all_available_volumes(self, connection_properties: Raw | None = None) -> Any:
        """Return nothing: there is no place where all of them are."""
        return None

    def extend_volume(self, connection_properties: Raw) -> int | None:
        """Refuse: a copy has the size that it had.

        :raises NotImplementedError: always.
        """
        raise NotImplementedError

    def connect_volume(self, connection_properties: Raw) -> dict[str, Any]:
        """Download the disk of a volume.

        :return: ``path`` of the file, ``last_modified``, which tells a detach whether it was
            changed, and ``disk_address``, by which it finds the disk of a machine that was moved.
        :raises InvalidParameterValue: naming the property that is missing or wrong.
        :raises VolumeIdentityMismatch: if the machine has no disk that is known to be the volume's.
        :raises StorageServerError: and its kinds, if the server does not do it.
        :raises OperationTimedOut: if it takes too long.
        """
        volume = Volume.parse(connection_properties)
        lock, settings = (locks.VOLUME, volume.key), _settings(volume)
        entry = note_entry.Entry(connection_properties, settings.state_path)
        with operation.begin('connect', volume, lock, settings, entry) as op:
            return op.course.returns(self._attach(volume, op).as_dict())

    def _attach(self, volume: Volume, op: operation.Operation) -> result.LocalCopy:
        try:
            with scratch.Incoming(volume.directory, volume.volume_id, _SUFFIX) as file:
                with (
                    _session(volume, op) as session,
                    observe.step(Verb.DOWNLOAD, volume.access.host),
                ):
                    address = vmware_export.download(session, volume, file)
                # After the logout: of a process that is killed in it, the next attach sweeps it.
                op.undo.add(remove_copy, file.path)
                file.finish()
        except OSError as error:
            raise exception.BrickException(
                f'The disk of volume {volume.volume_id} cannot be kept in {volume.directory}: '
                f'{error.strerror or error}'
            ) from error
        return result.LocalCopy(file.path, file.modified, address)

    def disconnect_volume(
        self,
        connection_properties: Raw,
        device_info: Raw | None,
        force: bool = False,
        ignore_errors: bool = False,
    ) -> None:
        """Remove the copy of a volume, after it has been put into the place of the disk if changed.

        The copy stays where it could not be written back, so that the call can be repeated.

        :param device_info: what ``connect_volume`` returned.
        :param force: remove it nevertheless; what was written to it is lost then.
        :param ignore_errors: with ``force``, do not raise what went wrong.
        :raises NotFound: if there is no such file.
        :raises BrickException: if it could not be written back.
        :raises ExceptionChainer: with ``force``, what went wrong.
        """
        volume = Volume.parse(connection_properties)
        path, modified, address = _copy_of(volume, device_info)
        settings = _settings(volume)
        operation.remove(
            *('disconnect', volume, (locks.VOLUME, volume.key), settings),
            teardown.OnError.of(force, ignore_errors),
            functools.partial(self._detach, volume, path, modified, address),
            note_entry.Entry(connection_properties, settings.state_path),
        )

    def _detach(
        self,
        volume: Volume,
        path: str,
        modified: float,
        address: str,
        op: operation.Operation,
        steps: teardown.Teardown,
    ) -> None:
        def write_back() -> None:
            if _modified(volume, path) != modified:
                _write_back(volume, path, address, op)

        steps.run(acts.Act(Verb.WRITE_BACK, path), write_back)
        steps.run(acts.Act(Verb.REMOVE_FILE, path), functools.partial(remove_copy, path))

    def plan(
        self,
        operation_name: str,
        connection_properties: Raw,
        device_info: Raw | None = None,
        *,
        force: bool = False,
    ) -> tuple[acts.Plan, ...]:
        """What an attach or a detach would do now; the server is not asked.

        :raises InvalidParameterValue: naming the property that is missing or wrong.
        :raises NotFound: for a detach, if there is no copy.
        :raises NotImplementedError: for an extend, as a copy has the size that it had.
        """
        volume = Volume.parse(connection_properties)
        what, server = f'the disk of volume {volume.volume_id}', volume.access.host
        if operation_name == observe.EXTEND:
            raise NotImplementedError
        if operation_name == observe.ATTACH:
            return (agents.vmware_attach(what, server, volume.directory),)
        path, modified, _address = _copy_of(volume, device_info)
        is_changed = _modified(volume, path) != modified
        return (agents.vmware_detach(what, server, path, is_changed=is_changed),)


def _modified(volume: Volume, path: str) -> float:
    """When the copy of a disk was changed last.

    :raises NotFound: if it is not there.
    """
    try:
        _size, found = scratch.look(path)
    except OSError as error:
        raise exception.NotFound(
            f'The copy of volume {volume.volume_id} is not at {path}: {error.strerror}'
        ) from error
    return found


def _session(volume: Volume, op: operation.Operation) -> vmware_session.Session:
    return vmware_session.Session(volume.access, op.work, op.clean_up_seconds)


def _write_back(volume: Volume, path: str, address: str, op: operation.Operation) -> None:
    """Put the copy into the place of the disk.

    :raises BrickException: if that fails, or the copy is changed meanwhile: what was written to it
        then is in it alone.
    """
    try:
        seen = scratch.look(path)
        with _session(volume, op) as session:
            vmware_disk.Upload(session, volume, address).run(path)
        if scratch.look(path) != seen:
            raise OSError(errno.ESTALE, 'It was changed while it was written back')
    except OSError as error:
        raise exception.BrickException(
            f'The copy {path} of volume {volume.volume_id} cannot be written back: '
            f'{error.strerror or error}'
        ) from error


@undo.verb
def remove_copy(path: str) -> None:
    """Remove the copy of a disk; one that has gone already is not an error.

    :raises OSError: if it stays.
    """
    files.unlink(path)


def _settings(volume: Volume) -> Any:
    """What is configured, with the time for one transfer in addition."""
    found = opts.current()
    seconds = found.operation_seconds + volume.access.transfer_seconds
    return dataclasses.replace(found, operation_seconds=seconds)


def _copy_of(volume: Volume, device_info: object) -> tuple[str, float, str]:
    """Path and time of the copy, which has to be one that an attach of the volume has made.

    The third is the address of the disk, empty if the caller did not keep it.

    :raises InvalidParameterValue: if it cannot be.
    """
    info = common.dictionary('device_info', device_info)
    path = common.value(info, 'path', common.text)
    directory, _, name = os.path.normpath(path).rpartition('/')
    is_own = scratch.is_of(name, volume.volume_id, _SUFFIX)
    if not is_own or files.realpath(directory) != files.realpath(volume.directory):
        raise common.bad(
            'path', f'{path} is not a copy of volume {volume.volume_id} in {volume.directory}'
        )
    address = info.get('disk_address')
    return (
        os.path.normpath(path),
        common.value(info, 'last_modified', _moment),
        common.parsed('disk_address', address, common.text) if address else '',
    )


def _moment(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError('expected a number of seconds')
    return float(value)
