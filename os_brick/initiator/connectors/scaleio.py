# SPDX-License-Identifier: Apache-2.0
"""Dell PowerFlex, once ScaleIO: a client in the kernel makes block devices of mapped volumes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
import contextlib
from typing import Any, ClassVar

from oslo_log import log as logging

from os_brick import exception, initiator, opts
from os_brick.core import locks, operation, teardown, wait
from os_brick.host import block as host_block
from os_brick.host import powerflex, powerflex_gateway
from os_brick.initiator.connectors import block
from os_brick.model import powerflex as model
from os_brick.request import result
from os_brick.request import scaleio as request_scaleio

LOG = logging.getLogger(__name__)
Raw = Mapping[str, Any]
_Request = request_scaleio.ScaleIORequest

CONNECTOR_CONF_PATH = model.CONNECTOR_CONF
DEVICE_SCAN_ATTEMPTS_DEFAULT = initiator.DEVICE_SCAN_ATTEMPTS_DEFAULT


class ScaleIOConnector(block.BlockConnector):
    """Attaches volumes of PowerFlex.

    With ``sdc_guid`` in the properties Cinder maps and unmaps the volume, and this waits for its
    device; without, this maps and unmaps it itself, at the REST gateway.
    """

    Request = _Request
    OK_STATUS_CODE: ClassVar[int] = 200
    VOLUME_ALREADY_MAPPED_ERROR: ClassVar[int] = model.ALREADY_MAPPED[0]
    VOLUME_ALREADY_MAPPED_ERROR_v4: ClassVar[int] = model.ALREADY_MAPPED[1]
    VOLUME_NOT_MAPPED_ERROR: ClassVar[int] = model.NOT_MAPPED[0]
    VOLUME_NOT_MAPPED_ERROR_v4: ClassVar[int] = model.NOT_MAPPED[1]
    GET_GUID_OP_CODE: ClassVar[int] = 0x610E
    RESCAN_VOLS_OP_CODE: ClassVar[int] = 0x610A

    @staticmethod
    def get_connector_properties(
        root_helper: str | None, *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        """Return the GUID of this host's client as ``sdc_guid``; nothing if it has none."""
        if not powerflex.is_installed():
            return {}
        try:
            return {'sdc_guid': powerflex.guid()}
        except exception.BrickException as error:
            LOG.warning('PowerFlex cannot be used on this host: %s', error)
            return {}

    def get_search_path(self) -> str:
        """Return the directory of the links to volumes."""
        return powerflex.BY_ID

    def get_volume_paths(self, connection_properties: Raw) -> list[str]:
        """Return the path of a volume that is here now.

        :raises InvalidParameterValue: naming the property that is missing or wrong.
        :raises BrickException: if the volume has to be looked up, and the gateway refuses that.
        """
        request = _Request.parse(connection_properties)
        deadline = wait.Deadline.after(opts.current().operation_seconds)
        with _session(request, deadline) as session:
            found = powerflex.device_of(_volume_id(request, session))
        return [found.path] if found else []

    def _attach(self, request: _Request, op: operation.Operation) -> result.BlockDevice:
        with _named(request, op.work) as (volume, session):
            if session is None:
                return self._attach_mapped(request, volume, op)
            guid = powerflex.guid()
            system = session.system_id()
            if powerflex.device_of(volume, system) is None:
                # Whatever the order ends in: it may have mapped the volume.
                op.undo.add_local(_take_back, session, volume, guid, op.clean_up_seconds)
            if not session.map(volume, guid):
                op.undo.drop()
            if request.limits.as_json():
                session.limit(volume, guid, request.limits)
            return _appeared(volume, system, op)

    @staticmethod
    def _attach_mapped(
        request: _Request, volume: str, op: operation.Operation
    ) -> result.BlockDevice:
        """Wait for a volume that Cinder has mapped."""
        try:
            return _appeared(volume, None, op)
        except exception.VolumeDeviceNotFound as error:
            with contextlib.suppress(exception.BrickException):
                own = powerflex.guid()
                if own != request.guid:
                    error.add_note(f'It is mapped to client {request.guid}, and this one is {own}')
            raise

    def _detach(
        self, request: _Request, steps: teardown.Teardown, op: operation.Operation
    ) -> Collection[str]:
        with _named(request, op.deadline) as (volume, session):
            systems: list[str | None] = []
            if session is not None:
                # A forced detach writes back what it can, whatever the gateway answers.
                steps.run('look for the system', lambda: systems.append(session.system_id()))
            device = powerflex.device_of(volume, systems[0] if systems else None)
            if device is not None:
                _write_back(device, steps, op)
            if session is None:
                # Cinder unmaps it later, which takes the device away.
                return ()
            steps.run(
                f'unmapping of PowerFlex volume {volume}',
                lambda: session.unmap(volume, powerflex.guid()),
            )
            return _gone(device, steps, op)

    def _extend(self, request: _Request, op: operation.Operation) -> int:
        with _named(request, op.work) as (volume, session):
            device = powerflex.device_of(volume, session.system_id() if session else None)
            if device is None:
                raise exception.VolumePathsNotFound
            before = host_block.size_bytes(device.name)
            wanted = session.size_bytes(volume) if session else None
            if wanted is not None and wanted < before:
                raise exception.VolumeHasShrunk(device=device.path, size=wanted, before=before)
            if before != wanted:
                powerflex.rescan()
            return powerflex.wait_grown(device, before, wanted, op.work)

    def _still_shows(self, request: _Request, device: str) -> bool:
        """Whether a path is a volume's own link: it has the ID in its name."""
        return request.volume_id is not None and device.lower().endswith(f'-{request.volume_id}')


@contextlib.contextmanager
def _session(
    request: _Request, deadline: wait.Deadline
) -> Iterator[powerflex_gateway.Session | None]:
    """A session at the gateway; ``None`` where Cinder does what is to be done there."""
    if request.gateway is None:
        yield None
        return
    session = powerflex_gateway.Session(request.gateway, deadline)
    try:
        yield session
    finally:
        session.end()


@contextlib.contextmanager
def _named(
    request: _Request, deadline: wait.Deadline
) -> Iterator[tuple[str, powerflex_gateway.Session | None]]:
    """The ID of a volume, and the session at its gateway.

    The operation's lock is that of the volume's name if the caller knows no ID; others, who do,
    have the lock of the ID.
    """
    with _session(request, deadline) as session, contextlib.ExitStack() as stack:
        volume = _volume_id(request, session)
        if request.volume_id is None:
            key = f'powerflex {volume}'
            stack.enter_context(locks.hold(locks.VOLUME, key, deadline))
        yield volume, session


def _volume_id(request: _Request, session: powerflex_gateway.Session | None) -> str:
    if request.volume_id is not None:
        return request.volume_id
    assert session is not None
    return session.volume_id(request.name)


def _appeared(volume: str, system: str | None, op: operation.Operation) -> result.BlockDevice:
    limit = op.work.within(op.settings.scan_seconds)
    return result.BlockDevice(powerflex.wait_usable(volume, system, limit).path)


def _take_back(session: powerflex_gateway.Session, volume: str, guid: str, seconds: float) -> None:
    """Unmap a volume that an attach has mapped, and wait until its device has gone."""
    session.deadline = wait.Deadline.after(seconds)
    session.unmap(volume, guid)
    device = powerflex.device_of(volume)
    if device is not None:
        powerflex.wait_gone(device, session.deadline)
    session.end()


def _write_back(
    device: powerflex.Device, steps: teardown.Teardown, op: operation.Operation
) -> None:
    """Have a volume be used by nothing, and what was written to it reach it."""
    is_forced = steps.on_error.is_forced
    if not is_forced:
        powerflex.refuse_users(device, op.work)
    limit = teardown.flush_limit(op.deadline, is_forced)
    steps.run(
        f'flush of {device.name}', lambda: host_block.flush(device.name, device.number, limit)
    )


def _gone(
    device: powerflex.Device | None, steps: teardown.Teardown, op: operation.Operation
) -> Collection[str]:
    """The name of a device that the client has removed."""
    if device is None:
        return ()
    steps.run(f'removal of {device.name}', lambda: powerflex.wait_gone(device, op.deadline))
    return () if device.is_here else (device.name,)
