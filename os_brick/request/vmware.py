# SPDX-License-Identifier: Apache-2.0
"""Connection properties of volumes that are virtual disks of VMware's vSphere."""

from __future__ import annotations

import dataclasses
import os
import re
from typing import Any, Self

from os_brick.model import addresses, names
from os_brick.request import common

# vSphere Web Services API, ManagedObjectReference: what names a managed object at its server.
_MOREF = names.Rule('managed object reference', re.compile(r'[A-Za-z0-9_.-]+'), 128)
# It is part of file names.
_VOLUME = names.Rule('ID of a volume', re.compile(r'[A-Za-z0-9_][A-Za-z0-9_.-]*'), 128)
_DATASTORE_PATH = re.compile(r'\[([^\[\]/\x00-\x1f]+)\] ?([^\x00-\x1f]+\.vmdk)')
_LONGEST_PATH = 1024
# XML 1.0, 2.2; it is sent within SOAP.
_XML = re.compile('[\\t\\n\\r\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]*')
_MOST_SECONDS = 7 * 86400.0
_DEFAULTS = {
    'vmware_host_port': 443,
    'vmware_api_retry_count': 10,
    'vmware_task_poll_interval': 2.0,
    'vmware_image_transfer_timeout_secs': 7200,
}


@dataclasses.dataclass(frozen=True, slots=True)
class DatastorePath:
    """A file of a datastore, in words ``[datastore] directory/file.vmdk``."""

    datastore: str
    path: str

    @classmethod
    def parse(cls, value: object) -> DatastorePath:
        """Read the words.

        :raises ValueError: if they are something else.
        """
        text = names.require_text(value)
        match = _DATASTORE_PATH.fullmatch(text)
        if match is None or len(text) > _LONGEST_PATH or '..' in match[2].split('/'):
            raise ValueError(f'{names.shown(value)} is not a path such as "[datastore] a/a.vmdk"')
        return cls(match[1], match[2])

    def with_path(self, path: str) -> DatastorePath:
        """Another file of the same datastore."""
        return DatastorePath(self.datastore, path)

    def __str__(self) -> str:
        return f'[{self.datastore}] {self.path}'


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How a vCenter or an ESXi server is used.

    :ivar retries: how often a session that has ended is begun again.
    :ivar poll_seconds: the pause between two looks at a task.
    :ivar transfer_seconds: how long the transfer of a disk may take.
    """

    host: str
    port: int
    user: str
    password: str = dataclasses.field(repr=False)
    ca_file: str | None = None
    verify: bool = True
    retries: int = 10
    poll_seconds: float = 2.0
    transfer_seconds: float = 7200.0


@dataclasses.dataclass(frozen=True, slots=True)
class VmdkRequest:
    """What the caller asked for.

    :ivar volume_id: the Block Storage service's.
    :ivar machine: the virtual machine that has the disk, by its reference.
    :ivar disk: where the disk was when the caller was told.
    :ivar size: its bytes, for the progress that the server is told.
    :ivar directory: where the copy is, or is to be, on this host.
    """

    volume_id: str
    machine: str
    disk: DatastorePath
    size: int
    datastore: str
    datacenter: str
    directory: str
    access: Access

    @property
    def key(self) -> str:
        """What the volume is locked by."""
        return f'vmdk {self.access.host} {self.machine}'

    @classmethod
    def parse(cls, raw: object) -> Self:
        """Read a caller's dictionary, which stays as it is.

        :raises InvalidParameterValue: naming the key that is missing or wrong.
        """
        found = common.mapping(raw)
        config = common.dictionary('config', common.value(found, 'config', lambda value: value))
        return cls(
            volume_id=common.value(found, 'volume_id', _VOLUME.parse),
            machine=common.value(found, 'volume', _moref),
            disk=common.value(found, 'vmdk_path', DatastorePath.parse),
            size=common.value(found, 'vmdk_size', _size),
            datastore=common.value(found, 'datastore', _moref),
            datacenter=common.value(found, 'datacenter', _moref),
            directory=common.value(config, 'vmware_tmp_dir', _directory),
            access=_access(config),
        )


def _access(config: common.Raw) -> Access:
    raw = {**_DEFAULTS, **{key: value for key, value in config.items() if value is not None}}
    ca_file = raw.get('vmware_ca_file') or None
    is_insecure = common.flag(raw, 'vmware_insecure')
    return Access(
        host=common.value(raw, 'vmware_host_ip', _host),
        port=common.value(raw, 'vmware_host_port', _port),
        user=common.value(raw, 'vmware_host_username', _password),
        password=common.value(raw, 'vmware_host_password', _password),
        ca_file=common.parsed('vmware_ca_file', ca_file, _directory) if ca_file else None,
        # As in os-brick 7: a file of authorities is used whatever the flag says.
        verify=bool(ca_file) or not is_insecure,
        retries=int(common.value(raw, 'vmware_api_retry_count', _number)),
        poll_seconds=common.value(raw, 'vmware_task_poll_interval', _seconds),
        transfer_seconds=common.value(raw, 'vmware_image_transfer_timeout_secs', _seconds),
    )


def _moref(value: Any) -> str:
    # Some callers have the type before it: VirtualMachine:vm-12.
    return _MOREF.parse(names.require_text(value).rpartition(':')[2])


def _host(value: Any) -> str:
    return addresses.host(names.require_text(value).strip().removeprefix('[').removesuffix(']'))


def _password(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError('expected a text that is not empty')
    if not _XML.fullmatch(value):
        raise ValueError('it has characters that XML does not have')
    return value


def _directory(value: Any) -> str:
    text = common.text(value)
    if not os.path.isabs(text) or '\0' in text:
        raise ValueError(f'{names.shown(value)} is not an absolute path')
    return os.path.normpath(text)


def _number(value: Any) -> float:
    try:
        found = float(value) if isinstance(value, (int, float, str)) else -1.0
    except ValueError:
        found = -1.0
    if isinstance(value, bool) or not 0 <= found <= 2.0**63:
        raise ValueError(f'{names.shown(value)} is not a valid number')
    return found


def _size(value: Any) -> int:
    return int(_number(value))


def _port(value: Any) -> int:
    found = _number(value)
    if not 0 < found < 65536 or found != int(found):
        raise ValueError(f'{names.shown(value)} is not a valid port')
    return int(found)


def _seconds(value: Any) -> float:
    found = _number(value)
    if not 0 < found <= _MOST_SECONDS:
        raise ValueError(f'{names.shown(value)} is not a valid number of seconds')
    return found
