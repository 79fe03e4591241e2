# SPDX-License-Identifier: Apache-2.0
"""Volumes of Huawei's distributed storage: its own program attaches them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
import contextlib
import os
import re
from typing import Any, ClassVar

from oslo_concurrency import processutils
from oslo_log import log as logging

from os_brick import exception, opts
from os_brick.core import files, locks, operation, process, wait
from os_brick.host import block
from os_brick.initiator.connectors import base
from os_brick.model import names
from os_brick.request import common, result

LOG = logging.getLogger(__name__)
Raw = Mapping[str, Any]

_PLACE_VARIABLE = 'HUAWEISDSHYPERVISORCLI_PATH'
_PLACE = '/usr/local/bin/sds/sds_cli'
_ANSWERS = ('ret_code', 'ret_desc', 'dev_addr')
# A volume's name is a word on a command line: never an option.
_VOLUME = names.Rule(
    'name of a volume',
    re.compile(r'[A-Za-z0-9_][A-Za-z0-9_.:@-]*'),
    255,
    'letters, digits and "_.:@-"',
)
_DEVICE = re.compile(r'/dev/[A-Za-z0-9_.:@/-]{1,254}')
_CODE = re.compile(r'[0-9]{1,18}')
# Of what the program prints, in an error.
_LONGEST_MESSAGE = 1000
# udev's node may come after the agent's answer.
_NODE_SECONDS = 5.0


class HuaweiStorHyperConnector(base.BaseLinuxConnector):
    """Attaches volumes through the storage's agent on this host."""

    attached_success_code: ClassVar[int] = 0
    has_been_attached_code: ClassVar[int] = 50151401
    attach_mnid_done_code: ClassVar[int] = 50151405
    vbs_unnormal_code: ClassVar[int] = 50151209
    not_mount_node_code: ClassVar[int] = 50155007
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
        return [self._device_of(_volume(connection_properties), _deadline())]

    def is_volume_connected(self, volume_name: str) -> bool:
        """Whether a volume is attached to this host.

        :raises BrickException: if the program does not answer.
        """
        return self._is_attached(common.parsed('volume_id', volume_name, _name), _deadline())

    def connect_volume(self, connection_properties: Raw) -> dict[str, Any]:
        """Attach a volume; one that is attached already is not an error.

        :return: ``type`` and ``path``.
        :raises BrickException: if it cannot be attached; what was done is taken back.
        """
        volume = _volume(connection_properties)
        with _operation('connect', volume) as op:
            # Whatever an attach ends in may have attached the volume; the agent tells only
            # before it whether another process has.
            if not self._is_attached(volume, op.work):
                op.undo.add(self._detach, volume, op.deadline)
            self._attach(volume, op)
            return result.BlockDevice(self._block_device_of(volume, op.work)).as_dict()

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
        with _operation('disconnect', volume) as op:
            self._detach(volume, op.deadline)

    def extend_volume(self, connection_properties: Raw) -> int | None:
        """Refuse: the storage's program has no word for it.

        :raises NotImplementedError: always.
        """
        raise NotImplementedError

    def _is_attached(self, volume: str, deadline: wait.Deadline) -> bool:
        answer = self._ask('querydev', volume, deadline)
        if _code(answer) is None:
            raise _failure('querydev', volume, answer)
        return _code(answer) == self.attached_success_code

    def _attach(self, volume: str, op: operation.Operation) -> None:
        was_attached = (self.has_been_attached_code, self.attach_mnid_done_code)
        known = (self.attached_success_code, *was_attached)
        if self._do('attach', volume, known, op.work) in was_attached:
            op.undo.drop()

    def _detach(self, volume: str, deadline: wait.Deadline) -> None:
        known = (self.attached_success_code, self.vbs_unnormal_code, self.not_mount_node_code)
        self._do('detach', volume, known, deadline)

    def _device_of(self, volume: str, deadline: wait.Deadline) -> str:
        answer = self._ask('querydev', volume, deadline)
        path = answer.get('dev_addr', '')
        if _code(answer) != self.attached_success_code or not _DEVICE.fullmatch(path):
            raise _failure('querydev', volume, answer)
        return path

    def _block_device_of(self, volume: str, deadline: wait.Deadline) -> str:
        """The path of an attached volume, once there is a block device at it."""
        path = self._device_of(volume, deadline)
        limit = deadline.within(_NODE_SECONDS)
        if not wait.holds(lambda: block.name_of(path) is not None, limit):
            raise exception.VolumeDeviceNotFound(device=f'{path}, where volume {volume} is to be')
        return path

    def _do(self, verb: str, volume: str, known: Collection[int], deadline: wait.Deadline) -> int:
        """Have the program do something; return its code, which is one of the known ones."""
        answer = self._ask(verb, volume, deadline)
        code = _code(answer)
        if code is None or code not in known:
            raise _failure(verb, volume, answer)
        return code

    def _ask(self, verb: str, volume: str, deadline: wait.Deadline) -> dict[str, str]:
        """What the program answers: its words, or none."""
        if not self.iscliexist:
            raise exception.BrickException(
                f'The program of the storage is missing: {self.cli_path}'
            )
        words = (self.cli_path, '-c', verb, '-v', volume)
        try:
            done = process.run(*words, timeout=deadline.limit())
        except processutils.ProcessExecutionError as error:
            text = str(error)[:_LONGEST_MESSAGE]
            raise exception.BrickException(f'{" ".join(words)} failed: {text}') from error
        pairs = (line.partition('=') for line in done.stdout.splitlines())
        return {
            key.strip(): text.strip()[:_LONGEST_MESSAGE]
            for key, _, text in pairs
            if key.strip() in _ANSWERS
        }


def _operation(name: str, volume: str) -> contextlib.AbstractContextManager[operation.Operation]:
    return operation.begin(name, volume, (locks.VOLUME, f'huawei {volume}'), opts.current())


def _deadline() -> wait.Deadline:
    return wait.Deadline.after(opts.current().operation_seconds)


def _volume(connection_properties: Raw) -> str:
    return common.value(common.mapping(connection_properties), 'volume_id', _name)


def _name(raw: object) -> str:
    return _VOLUME.parse(raw)


def _code(answer: dict[str, str]) -> int | None:
    text = answer.get('ret_code', '')
    return int(text) if _CODE.fullmatch(text) else None


def _failure(verb: str, volume: str, answer: dict[str, str]) -> exception.BrickException:
    found = ', '.join(f'{key}={text}' for key, text in answer.items()) or 'nothing'
    return exception.BrickException(f'{verb} of volume {volume}: the storage answered {found}')
