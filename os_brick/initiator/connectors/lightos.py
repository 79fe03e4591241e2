# SPDX-License-Identifier: Apache-2.0
"""Volumes of Lightbits' clusters (LightOS), which the vendor's discovery client connects."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, MutableMapping
import functools
import inspect
import queue
from typing import Any, NoReturn

from oslo_log import log as logging

from os_brick import exception, opts
from os_brick.core import clock, locks, observe, operation, teardown, wait
from os_brick.host import (
    lightos,
    machine,
    nvme_adopt,
    nvme_growth,
    nvme_removal,
)
from os_brick.initiator import reports
from os_brick.initiator.connectors import block, lightos_here
from os_brick.model import lightos as model
from os_brick.model import settings
from os_brick.plans import acts
from os_brick.plans import lightos as plans_lightos
from os_brick.plans import nvme_removal as plans
from os_brick.plans import steps as steps_module
from os_brick.plans.lightos import Verb
from os_brick.request import lightos as request_lightos
from os_brick.request import result

LOG = logging.getLogger(__name__)
Raw = Mapping[str, Any]
Volume = request_lightos.LightOSRequest

DEVICE_SCAN_ATTEMPTS_DEFAULT = 5
# The monitor: its first look, and the distance of the others; how long it waits for a volume that
# is being attached or detached.
_FIRST_SECONDS = 5.0
_MONITOR_SECONDS = 1.0
_BUSY_SECONDS = 1.0
# How long an operation waits for room in a queue that is full.
_TELL_SECONDS = 5.0
# As what a queue's put takes: whether it waits, and how long.
_WAITING = (True, _TELL_SECONDS)


def list_opts() -> list[tuple[str, list[Any]]]:
    """Return the options of the discovery client by group, for oslo-config-generator."""
    return opts.list_lightos_opts()


class LightOSConnector(block.BlockConnector):
    """Attaches volumes of Lightbits' clusters.

    :param message_queue: told of each volume that is attached and detached, for
        :meth:`lightos_monitor`, which may run in another process.
    """

    Request = Volume
    # For the client's first connection: it tries again every few seconds.
    WAIT_DEVICE_TIMEOUT = 60
    # For a client that is being started.
    CLIENT_TIMEOUT = 5

    def __init__(
        self,
        root_helper: str | None,
        driver: Any = None,
        execute: Callable[..., Any] | None = None,
        device_scan_attempts: int = DEVICE_SCAN_ATTEMPTS_DEFAULT,
        message_queue: Any = None,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(root_helper, driver, execute, device_scan_attempts, *args, **kwargs)
        self.message_queue = message_queue

    @staticmethod
    def get_connector_properties(
        root_helper: str | None, *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        """Return who this host is to a cluster, and whether the discovery client runs.

        Nothing is made, and nothing is returned, on a host that has neither an NVMe name nor
        nvme-cli to make one. The client is asked only where it is installed.
        """
        return reports.lightos(root_helper, **kwargs)

    @staticmethod
    def get_ip_addresses() -> list[str]:
        """Return the addresses of this host's interfaces, but for the loopback."""
        return lightos.own_addresses()

    def find_dsc(self) -> str:
        """Return ``found`` if the discovery client runs on this host, else an empty text."""
        return reports.discovery_client()

    def get_search_path(self) -> str:
        """Return the directory of the devices."""
        return '/dev'

    def get_volume_paths(
        self, connection_properties: Raw | Volume, device_info: Raw | None = None
    ) -> list[str]:
        """Return the device of a volume if it is here."""
        request = (
            connection_properties
            if isinstance(connection_properties, Volume)
            else Volume.parse(connection_properties, device_info)
        )
        return [f'/dev/{head}' for head in lightos_here.survey(request).heads]

    def supports_multipath(self) -> bool:
        """Return whether the kernel's own multipath is on."""
        return machine.has_native_nvme_multipath()

    def _attach(self, request: Volume, op: operation.Operation) -> result.BlockDevice:
        client = op.settings.lightos
        entry = _entry(request)
        wanted = lightos_here.wanted(request, entry.host_nqn)
        with observe.step(Verb.ASK_CLIENT, client.address):
            _require_client(wanted, client, op.work.within(self.CLIENT_TIMEOUT))
        with observe.step(Verb.WRITE_FILE, lightos.path_of(client, request.uuid)):
            lightos.add(client, entry, op.undo)
        limit = op.work.within(self.WAIT_DEVICE_TIMEOUT)
        with observe.step(Verb.AWAIT, request):
            found = nvme_adopt.attach(wanted, limit, op)
        op.course.identity = found.identity.name
        return result.BlockDevice(f'/dev/{found.head}')

    def _announce(self, request: Volume) -> None:
        self._tell('add', request)

    def _detach(
        self, request: Volume, steps: teardown.Teardown, op: operation.Operation
    ) -> Collection[str]:
        choice = lightos_here.survey(request, for_removal=True)
        if not choice.heads:
            LOG.warning('Detach: there is no %s on this host', request)
        force = steps.on_error.is_forced
        removal = plans.plan([choice], keep_connected=True, flush_used=force)
        nvme_removal.run(removal, steps, op.deadline, force=force)
        # Before the file goes, or the monitor would take it for lost.
        for each in self._told(request):
            steps.run(each, functools.partial(self._tell, 'delete', request))
        client = op.settings.lightos
        remove = functools.partial(lightos.remove_file, client.directory, request.uuid)
        steps.run(lightos_here.file_removed(client, request), remove)
        return choice.heads

    def _told(self, request: Volume) -> tuple[acts.Act, ...]:
        return plans_lightos.told(str(request), has_monitor=self.message_queue is not None)

    def _plan(
        self, operation_name: str, request: Volume, op: operation.Operation, *, force: bool
    ) -> tuple[steps_module.Plan[Any], ...]:
        if operation_name != observe.DETACH:
            return (lightos_here.plan(operation_name, request, op),)
        choice = lightos_here.survey(request, for_removal=True)
        links = block.link_steps(request, choice.heads)
        last = (*self._told(request), lightos_here.file_removed(op.settings.lightos, request))
        namespace = plans.plan([choice], keep_connected=True, flush_used=force)
        return (plans_lightos.removal(namespace, (*last, *links)),)

    def _still_shows(self, request: Volume, device: str) -> bool:
        # The cluster maps it to this host until the caller has it unmapped.
        return device in self.get_volume_paths(request)

    def _extend(self, request: Volume, op: operation.Operation) -> int:
        choice = lightos_here.to_extend(request)
        return nvme_growth.grow(request.identity, choice.paths, op.deadline)

    def _tell(self, what: str, request: Volume) -> None:
        if self.message_queue is None:
            return
        put, message = self.message_queue.put, (what, dict(request.properties))
        try:
            if _takes_a_limit(put):
                put(message, *_WAITING)
            else:
                put(message)
        except Exception as error:
            raise exception.BrickException(
                f'lightos_monitor cannot be told of {request}: its message queue takes nothing '
                f'({type(error).__name__}). Check that lightos_monitor runs'
            ) from error

    # The files of the discovery client, for the monitor and callers outside.

    def dsc_file_name(self, uuid: str) -> str:
        """Return the path of a volume's file."""
        return lightos.path_of(opts.current().lightos, uuid)

    def dsc_need_connect(self, connection_info: Raw) -> bool:
        """Return whether a volume has no file."""
        return not lightos.has_file(opts.current().lightos, Volume.parse(connection_info).uuid)

    def dsc_connect_volume(self, connection_info: Raw) -> None:
        """Write a volume's file, of which the client learns where its cluster is.

        :raises BrickException: if it cannot be written, or this host has no NVMe name.
        """
        lightos.add(opts.current().lightos, _entry(Volume.parse(connection_info)))

    def dsc_disconnect_volume(self, connection_info: Raw) -> None:
        """Remove a volume's file; what the client has connected stays.

        :raises OSError: if it stays.
        """
        uuid = Volume.parse(connection_info).uuid
        lightos.remove_file(opts.current().lightos.directory, uuid)

    def lightos_monitor(self, lightos_db: MutableMapping[str, Raw], message_queue: Any) -> NoReturn:
        """Keep the files of attached volumes there, for ever; for a thread or process of its own.

        :param lightos_db: the volumes, by UUID; what the queue tells is entered there.
        :param message_queue: the ``message_queue`` of the connectors.
        """
        clock.sleep(_FIRST_SECONDS)
        while True:
            self.monitor_message_queue(message_queue, lightos_db)
            self._restore(lightos_db, message_queue)
            clock.sleep(_MONITOR_SECONDS)

    def monitor_db(self, lightos_db: MutableMapping[str, Raw]) -> None:
        """Write the files that are missing, once.

        A volume that is being attached or detached now is left for the next time.
        """
        self._restore(lightos_db, self.message_queue)

    def _restore(self, lightos_db: MutableMapping[str, Raw], message_queue: Any) -> None:
        for uuid in list(lightos_db):
            try:
                self._restore_one(uuid, lightos_db, message_queue)
            except exception.OperationTimedOut:
                LOG.debug('Volume %s is being attached or detached', uuid)
            except Exception as error:  # noqa: BLE001 the others have to be looked at as well
                LOG.warning('The discovery client is not told of volume %s: %s', uuid, error)

    def _restore_one(
        self, uuid: str, lightos_db: MutableMapping[str, Raw], message_queue: Any
    ) -> None:
        connection = lightos_db.get(uuid)
        if connection is None or not self.dsc_need_connect(connection):
            return
        deadline = wait.Deadline.after(_BUSY_SECONDS)
        with locks.hold(locks.VOLUME, Volume.parse(connection).key, deadline):
            # A detach tells of itself under the lock before it removes the file.
            if message_queue is not None:
                self.monitor_message_queue(message_queue, lightos_db)
            if uuid in lightos_db and self.dsc_need_connect(connection):
                self.dsc_connect_volume(connection)

    def monitor_message_queue(
        self, message_queue: Any, lightos_db: MutableMapping[str, Raw]
    ) -> None:
        """Enter what the queue tells of volumes, until it is empty."""
        # Another thread or process may take what this one has seen: that is not waited for.
        take = getattr(message_queue, 'get_nowait', message_queue.get)
        while not message_queue.empty():
            try:
                _enter(take(), lightos_db)
            except queue.Empty:
                return
            except (TypeError, ValueError, exception.InvalidParameterValue) as error:
                LOG.warning('A message to the monitor is not understood: %s', error)


def _takes_a_limit(put: Callable[..., object]) -> bool:
    """Whether a queue's ``put`` can be told how long it may wait for room.

    Not every queue tells by an attribute whether it is bounded: those of ``multiprocessing``, and
    of its managers, do not.
    """
    try:
        inspect.signature(put).bind(None, *_WAITING)
    except (TypeError, ValueError):
        return False
    return True


def _enter(message: Any, lightos_db: MutableMapping[str, Raw]) -> None:
    what, connection = message
    uuid = request_lightos.uuid_of(connection)
    # A UUID is the same one in capitals; the database may be older than this process.
    known = [key for key in lightos_db if str(key).lower() == uuid]
    if what not in ('add', 'delete'):
        raise ValueError('expected "add" or "delete"')
    if what == 'delete' and not known:
        LOG.warning('Volume %s is not known to the monitor, and was detached', uuid)
    for key in known:
        del lightos_db[key]
    if what == 'add':
        lightos_db[uuid] = connection


def _entry(request: Volume) -> model.Entry:
    """What the file of a volume says.

    :raises InvalidParameterValue: if the properties name no discovery service.
    :raises HostNotReady: if this host has no name.
    """
    services = request.require_services()
    host_nqn = machine.host_nqn(machine.system_uuid() or None)
    if not host_nqn:
        raise exception.HostNotReady(
            missing='its NVMe name (/etc/nvme/hostnqn), by which a cluster of LightOS knows it,',
            remedy='Write one into that file, such as nvme gen-hostnqn prints.',
        )
    return model.Entry(request.uuid, host_nqn, request.nqn, services)


def _require_client(
    wanted: nvme_adopt.Wanted, client: settings.DiscoveryClient, deadline: wait.Deadline
) -> None:
    """Have a client that can be told of the volume, or a cluster that is connected already.

    :raises HostNotReady: if the client is not installed.
    :raises VolumeDeviceNotFound: if there is neither.
    """
    lightos_here.require_installed(client)

    def may_attach() -> bool:
        return bool(wanted.controllers()) or lightos.answers(client)

    if not wait.holds(may_attach, deadline):
        raise exception.VolumeDeviceNotFound(
            f'{wanted.what}: this host is not connected to it, and the discovery client of LightOS '
            f'does not answer at {client.address} port {client.port}: start it (systemctl start '
            'discovery-client)'
        )
