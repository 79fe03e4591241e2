# SPDX-License-Identifier: Apache-2.0
"""Dell PowerFlex, once ScaleIO: a client in the kernel makes block devices of mapped volumes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
import contextlib
import enum
from typing import Any, ClassVar

from oslo_log import log as logging

from os_brick import exception, initiator, opts
from os_brick.core import locks, observe, operation, teardown, wait
from os_brick.host import block as host_block
from os_brick.host import powerflex, powerflex_gateway
from os_brick.initiator import reports
from os_brick.initiator.connectors import block, scaleio_plan
from os_brick.model import names
from os_brick.model import powerflex as model
from os_brick.plans import acts, agents
from os_brick.plans import steps as steps_module
from os_brick.plans.agents import Verb
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
        return reports.powerflex(root_helper, **kwargs)

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
            volume = _attached(request, session, teardown.RAISING)
        assert volume is not None
        found = powerflex.device_of(volume)
        return [found.path] if found else []

    def _attach(self, request: _Request, op: operation.Operation) -> result.BlockDevice:
        with _session(request, op.work) as session:
            if session is None:
                return self._attach_mapped(request, op)
            with observe.step(Verb.ASK, scaleio_plan.agent(request)):
                volume = _reported(request, session)
            with _locked(request, volume, op.work):
                return _map(request, volume, session, op)

    @staticmethod
    def _attach_mapped(request: _Request, op: operation.Operation) -> result.BlockDevice:
        """Wait for a volume that Cinder has mapped; nothing reports of which system it is."""
        try:
            return _appeared(powerflex.Volume(str(request.volume_id)), op)
        except exception.VolumeDeviceNotFound as error:
            with contextlib.suppress(exception.BrickException):
                own = powerflex.guid()
                if own != request.guid:
                    error.add_note(f'It is mapped to client {request.guid}, and this one is {own}')
            raise

    def _detach(
        self, request: _Request, steps: teardown.Teardown, op: operation.Operation
    ) -> Collection[str]:
        with _session(request, op.deadline) as session:
            volume = _attached(request, session, steps)
            if volume is None:
                return ()
            with _locked(request, volume, op.deadline):
                return _release(volume, session, steps, op)

    def _extend(self, request: _Request, op: operation.Operation) -> int:
        with _session(request, op.work) as session:
            volume = _attached(request, session, teardown.RAISING)
            assert volume is not None
            with _locked(request, volume, op.work):
                device = powerflex.device_of(volume)
                if device is None:
                    raise exception.VolumePathsNotFound
                before = host_block.size_bytes(device.name)
                wanted = _size(request, volume, session)
                if wanted is not None and wanted < before:
                    raise exception.VolumeHasShrunk(device=device.path, size=wanted, before=before)
                if before != wanted:
                    with observe.step(Verb.RESCAN):
                        powerflex.rescan()
                with observe.step(Verb.AWAIT_SIZE, device.path):
                    return powerflex.wait_grown(device, before, wanted, op.work)

    def _plan(
        self, operation_name: str, request: _Request, op: operation.Operation, *, force: bool
    ) -> tuple[steps_module.Plan[Any], ...]:
        return (scaleio_plan.of(operation_name, request, force=force),)

    def _still_shows(self, request: _Request, device: str) -> bool:
        """Whether a path is a volume's own link: it has the ID in its name."""
        named = powerflex.volume_of(device)
        return named is not None and request.volume_id in (None, named.id)


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


def _locked(
    request: _Request, volume: powerflex.Volume, deadline: wait.Deadline
) -> contextlib.AbstractContextManager[object]:
    """The lock of the volume's ID.

    The operation's lock is that of the volume's name if the caller knows no ID; others, who do,
    have the lock of the ID.
    """
    if request.volume_id is not None:
        return contextlib.nullcontext()
    return locks.hold(locks.VOLUME, f'powerflex {volume.id}', deadline)


def _reported(
    request: _Request, session: powerflex_gateway.Session, kept: str | None = None
) -> powerflex.Volume:
    """The volume of the properties as its gateway reports it.

    :param kept: the ID if no volume has the name.
    :raises BrickException: if the gateway does not report it, or its system.
    """
    system = session.system_id()
    return powerflex.Volume(request.volume_id or session.volume_id(request.name, kept), system)


def _attached(
    request: _Request,
    session: powerflex_gateway.Session | None,
    steps: teardown.Teardown | teardown.Raising,
) -> powerflex.Volume | None:
    """Which volume is attached: without an ID in the properties the one of the path that was kept.

    Its name may be another volume's by now. With an ID the path is a hint, of which only the system
    counts where no gateway reports it.

    :return: ``None`` if a forced detach does not learn it.
    :raises VolumeIdentityMismatch: if the name is that of another volume than the path.
    """
    kept, known = scaleio_plan.kept_path(request), scaleio_plan.kept(request)
    if session is None:
        return known
    found: list[powerflex.Volume] = []

    def ask() -> None:
        found.append(_reported(request, session, kept.id if kept else None))

    steps.run(acts.Act(Verb.ASK, scaleio_plan.agent(request)), ask)
    if not found:
        return known
    if request.volume_id is None and kept not in (None, found[0]):
        raise exception.VolumeIdentityMismatch(
            device=request.device_path,
            expected=f'{found[0]}, whose name is {names.shown(request.name)} now '
            '(pass scaleIO_volume_id if the device is meant)',
            actual=str(kept),
        )
    return found[0]


def _size(
    request: _Request, volume: powerflex.Volume, session: powerflex_gateway.Session | None
) -> int | None:
    """What the gateway reports as the size in bytes; ``None`` without one."""
    if session is None:
        return None
    with observe.step(Verb.ASK, scaleio_plan.agent(request)):
        return session.size_bytes(volume.id)


def _map(
    request: _Request,
    volume: powerflex.Volume,
    session: powerflex_gateway.Session,
    op: operation.Operation,
) -> result.BlockDevice:
    guid = powerflex.guid()
    if powerflex.device_of(volume) is None:
        # Whatever the order ends in: it may have mapped the volume.
        op.undo.add_local(_take_back, session, volume, guid, op.clean_up_seconds)
    with observe.step(Verb.ORDER_ATTACH, scaleio_plan.agent(request)):
        is_new = session.map(volume.id, guid)
    if not is_new:
        op.undo.drop()
    if request.limits.as_json():
        with observe.step(Verb.ORDER_LIMITS, scaleio_plan.agent(request)):
            session.limit(volume.id, guid, request.limits)
    return _appeared(volume, op)


def _appeared(volume: powerflex.Volume, op: operation.Operation) -> result.BlockDevice:
    limit = op.work.within(op.settings.scan_seconds)
    with observe.step(Verb.AWAIT_DEVICE, volume):
        return result.BlockDevice(powerflex.wait_usable(volume, limit).path)


def _take_back(
    session: powerflex_gateway.Session, volume: powerflex.Volume, guid: str, seconds: float
) -> None:
    """Unmap a volume that an attach has mapped, and wait until its device has gone."""
    session.deadline = wait.Deadline.after(seconds)
    try:
        session.unmap(volume.id, guid)
        device = powerflex.device_of(volume)
        if device is not None:
            powerflex.wait_gone(device, session.deadline)
    finally:
        session.end()


def _release(
    volume: powerflex.Volume,
    session: powerflex_gateway.Session | None,
    steps: teardown.Teardown,
    op: operation.Operation,
) -> Collection[str]:
    """Write a volume back and unmap it; return the name of its device if that is gone."""
    device = None
    if session is not None and volume.system is None:
        # A forced detach to which the gateway does not report its system. Which of several devices
        # is the volume's is not known: writing back harms none, and none is waited for.
        for each in powerflex.devices(volume.id):
            _write_back(each, steps, op)
    elif device := powerflex.device_of(volume):
        _write_back(device, steps, op)
    else:
        _write_back_unnamed(volume, steps, op)
    if session is None:
        # Cinder unmaps it later, which takes the device away.
        return ()
    steps.run(
        acts.Act(Verb.ORDER_DETACH, f'PowerFlex volume {volume.id}'),
        lambda: session.unmap(volume.id, powerflex.guid()),
    )
    return _gone(device, steps, op)


def _write_back(
    device: powerflex.Device, steps: teardown.Teardown, op: operation.Operation
) -> None:
    """Have a volume be used by nothing, and what was written to it reach it."""
    is_forced = steps.on_error.is_forced
    limit = teardown.flush_limit(op.deadline, is_forced)
    acts_of: dict[enum.StrEnum, Callable[[], object]] = {
        Verb.CHECK_USERS: lambda: powerflex.refuse_users(device, op.work),
        Verb.FLUSH: lambda: host_block.flush(device.name, device.number, limit),
    }
    for each in agents.written_back(scaleio_plan.device(device), force=is_forced):
        steps.run(each, acts_of[each.verb])


def _write_back_unnamed(
    volume: powerflex.Volume, steps: teardown.Teardown, op: operation.Operation
) -> None:
    """Have what may be a volume whose link is missing be used by nothing, and be written back.

    :raises VolumeInUse: if something uses such a device, without ``force``.
    """
    for each in powerflex.unnamed():
        LOG.warning('No link leads to %s, which may be PowerFlex volume %s', each.path, volume.id)
        try:
            _write_back(each, steps, op)
        except exception.VolumeInUse as error:
            error.add_note(
                f'No link leads to it, so it may be PowerFlex volume {volume.id}. Have udev make '
                f'its links (udevadm trigger {each.path}), then try again.'
            )
            raise


def _gone(
    device: powerflex.Device | None, steps: teardown.Teardown, op: operation.Operation
) -> Collection[str]:
    """The name of a device that the client has removed."""
    if device is None:
        return ()
    steps.run(
        agents.gone(scaleio_plan.device(device)), lambda: powerflex.wait_gone(device, op.deadline)
    )
    return () if device.is_here else (device.name,)
