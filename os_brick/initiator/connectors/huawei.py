# SPDX-License-Identifier: Apache-2.0
"""Volumes of Huawei's distributed storage: its own program attaches them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
import contextlib
import os
import re
from typing import Any, ClassVar

from oslo_log import log as logging

from os_brick import exception, opts
from os_brick.core import files, locks, observe, operation, wait
from os_brick.host import block, note_entry
from os_brick.host import huawei as host_huawei
from os_brick.initiator.connectors import base
from os_brick.model import names
from os_brick.plans import acts, agents
from os_brick.plans.agents import Verb
from os_brick.request import common, result

LOG = logging.getLogger(__name__)
Raw = Mapping[str, Any]

_PLACE_VARIABLE = 'HUAWEISDSHYPERVISORCLI_PATH'
_PLACE = '/usr/local/bin/sds/sds_cli'
# A volume's name is a word on a command line: never an option.
_VOLUME = names.Rule(
    'name of a volume',
    re.compile(r'[A-Za-z0-9_][A-Za-z0-9_.:@-]*'),
    255,
    'letters, digits and "_.:@-"',
)
# udev's node may come after the agent's answer.
_NODE_SECONDS = 5.0


class HuaweiStorHyperConnector(base.BaseLinuxConnector):
    """Attaches volumes through the storage's agent on this host."""

    attached_success_code: ClassVar[int] = host_huawei.DONE
    has_been_attached_code: ClassVar[int] = host_huawei.ATTACHED_BEFORE
    attach_mnid_done_code: ClassVar[int] = host_huawei.ATTACHED_BY_ANOTHER_NODE
    vbs_unnormal_code: ClassVar[int] = host_huawei.AGENT_NOT_NORMAL
    not_mount_node_code: ClassVar[int] = host_huawei.NOT_ATTACHED
    iscliexist = True

    def __init__(
        self,
        root_helper: str | None,
        driver: Any = None,
        execute: Callable[..., Any] | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(root_helper, driver, execute, *args, **kwargs)
        self.cli_path = os.getenv(_PLACE_VARIABLE) or _PLACE
        if not files.exists(self.cli_path) or files.is_directory(self.cli_path):
            self.iscliexist = False
            LOG.error('The program of the storage is not at %s', self.cli_path)

    @staticmethod
    def get_connector_properties(
        root_helper: str | None, *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        """Return nothing: the storage's agent knows this host."""
        return {}

    def get_search_path(self) -> str | None:
        """Return nothing: the agent reports where a volume is."""
        return None

    def get_all_available_volumes(self, connection_properties: Raw | None = None) -> list[str]:
        """Return nothing: the agent cannot be asked for all volumes."""
        return []

    def get_volume_paths(self, connection_properties: Raw) -> list[str]:
        """Return the path of an attached volume.

        :raises BrickException: if it is not attached.
        """
        volume = _volume(connection_properties)
        return [host_huawei.device_of(self._program(), volume, _deadline())]

    def is_volume_connected(self, volume_name: str) -> bool:
        """Whether a volume is attached to this host.

        :raises BrickException: if the program does not answer.
        """
        volume = common.parsed('volume_id', volume_name, _name)
        return host_huawei.is_attached(self._program(), volume, _deadline())

    def connect_volume(self, connection_properties: Raw) -> dict[str, Any]:
        """Attach a volume; one that is attached already is not an error.

        :return: ``type`` and ``path``.
        :raises BrickException: if it cannot be attached; what was done is taken back.
        """
        volume = _volume(connection_properties)
        with _operation('connect', volume, connection_properties) as op:
            # Whatever an attach ends in may have attached the volume; the agent tells only
            # before it whether another process has.
            program = self._program()
            with observe.step(Verb.ASK, program):
                is_attached = host_huawei.is_attached(program, volume, op.work)
            if not is_attached:
                op.undo.add(host_huawei.detach, program, volume, op.deadline.remaining)
            _attach(program, volume, op)
            device = _block_device_of(program, volume, op.work)
            return op.course.returns(result.BlockDevice(device).as_dict())

    def disconnect_volume(
        self,
        connection_properties: Raw,
        device_info: Raw | None,
        force: bool = False,
        ignore_errors: bool = False,
    ) -> None:
        """Detach a volume; one that is not attached is not an error.

        :raises BrickException: if it cannot be detached, whatever the flags say.
        """
        volume = _volume(connection_properties)
        with _operation('disconnect', volume, connection_properties) as op:
            program = self._program()
            with observe.step(Verb.ORDER_DETACH, program):
                host_huawei.detach(program, volume, op.deadline.remaining)

    def plan(
        self,
        operation_name: str,
        connection_properties: Raw,
        device_info: Raw | None = None,
        *,
        force: bool = False,
    ) -> tuple[acts.Plan, ...]:
        """What an attach or a detach would do now; the storage's agent is not asked.

        :raises BrickException: if its program is missing, or a property is wrong.
        :raises NotImplementedError: for an extend, for which the program has no word.
        """
        volume = _volume(connection_properties)
        if operation_name == observe.EXTEND:
            raise NotImplementedError
        return (agents.huawei(operation_name, volume, self._program()),)

    def extend_volume(self, connection_properties: Raw) -> int | None:
        """Refuse: the storage's program has no word for it.

        :raises NotImplementedError: always.
        """
        raise NotImplementedError

    def _program(self) -> str:
        """The path of the storage's program.

        :raises BrickException: if it was not there when the connector was made.
        """
        if not self.iscliexist:
            raise exception.BrickException(
                f'The program of the storage is missing: {self.cli_path}'
            )
        return self.cli_path


def _attach(program: str, volume: str, op: operation.Operation) -> None:
    was_attached = (host_huawei.ATTACHED_BEFORE, host_huawei.ATTACHED_BY_ANOTHER_NODE)
    accepted = (host_huawei.DONE, *was_attached)
    with observe.step(Verb.ORDER_ATTACH, program):
        code = host_huawei.order(program, 'attach', volume, accepted, op.work)
    if code in was_attached:
        op.undo.drop()


def _block_device_of(program: str, volume: str, deadline: wait.Deadline) -> str:
    """The path of an attached volume, once there is a block device at it."""
    with observe.step(Verb.ASK, program):
        path = host_huawei.device_of(program, volume, deadline)
    limit = deadline.within(_NODE_SECONDS)
    with observe.step(Verb.AWAIT_DEVICE, path):
        is_there = wait.holds(lambda: block.name_of(path) is not None, limit)
    if not is_there:
        raise exception.VolumeDeviceNotFound(device=f'{path}, where volume {volume} is to be')
    return path


def _operation(
    name: str, volume: str, properties: Raw
) -> contextlib.AbstractContextManager[operation.Operation]:
    lock, settings = (locks.VOLUME, f'huawei {volume}'), opts.current()
    entry = note_entry.Entry(properties, settings.state_path)
    return operation.begin(name, volume, lock, settings, entry)


def _deadline() -> wait.Deadline:
    return wait.Deadline.after(opts.current().operation_seconds)


def _volume(connection_properties: Raw) -> str:
    return common.value(common.mapping(connection_properties), 'volume_id', _name)


def _name(raw: object) -> str:
    return _VOLUME.parse(raw)
