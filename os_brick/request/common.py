# SPDX-License-Identifier: Apache-2.0
"""What all connection properties share: reading a key, and naming it if it is wrong."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
import dataclasses
import os
import re
from typing import Any, Self, TypeVar

from oslo_utils import strutils

from os_brick import exception
from os_brick.model import addresses, names

T = TypeVar('T')
Raw = Mapping[str, Any]

# A name of 8, 12 or 16 bytes (NAA, EUI-64) after udev's digit for its kind.
_BINARY_WWID = re.compile(r'[238](?:[0-9A-Fa-f]{16}|[0-9A-Fa-f]{24}|[0-9A-Fa-f]{32})')
# Linux, PATH_MAX with its NUL.
_LONGEST_PATH = 4095


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class BlockRequest(abc.ABC):
    """What the connection properties of every block protocol have in common.

    :ivar encrypted: whether its path is to be a link of ours.
    :ivar enforce_multipath: whether multipathd has to run.
    :ivar device_path: the path that the caller used.
    """

    encrypted: bool = False
    enforce_multipath: bool = False
    device_path: str | None = None

    @property
    @abc.abstractmethod
    def key(self) -> str:
        """What the volume is locked by: the same for attach, extend and detach."""

    @classmethod
    @abc.abstractmethod
    def parse(cls, raw: object, device_info: object = None) -> Self:
        """Read a caller's dictionary, which stays as it is.

        :param device_info: what an earlier attach returned, or ``None``.
        :raises InvalidParameterValue: naming the key that is missing or wrong.
        """

    @classmethod
    def shared(cls, raw: Raw, device_info: object) -> dict[str, Any]:
        """The fields that every kind of request has."""
        return {
            'encrypted': flag(raw, 'encrypted'),
            'enforce_multipath': flag(raw, 'enforce_multipath'),
            'device_path': device_path(raw, device_info),
        }


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ScsiRequest(BlockRequest):
    """What those of the SCSI transports have in common.

    :ivar expected_wwid: what the volume's identity has to be, in udev's spelling.
    :ivar noted_wwid: what it was when this host attached it, for a detach that is told nothing.
    """

    expected_wwid: str | None = None
    noted_wwid: str | None = None

    @classmethod
    def shared(cls, raw: Raw, device_info: object) -> dict[str, Any]:
        """The fields that every kind of SCSI request has."""
        info = device_info if isinstance(device_info, Mapping) else {}
        wanted = wwid(raw, 'expected_wwid', 'scsi_wwn') or wwid(info, 'scsi_wwn', 'multipath_id')
        return {**BlockRequest.shared(raw, device_info), 'expected_wwid': wanted}


def bad(key: str, why: str) -> exception.InvalidParameterValue:
    """The error for a key that is missing or wrong; it never shows a secret's value."""
    return exception.InvalidParameterValue(err=f'connection property {key}: {why}')


def mapping(raw: object) -> Raw:
    """The properties, if they are a dictionary.

    :raises InvalidParameterValue: if they are not.
    """
    if not isinstance(raw, Mapping):
        raise exception.InvalidParameterValue(
            err=f'connection properties: expected a dictionary, got {type(raw).__name__}'
        )
    return raw


def value(raw: Raw, key: str, parse: Callable[[Any], T]) -> T:
    """What ``parse`` makes of a key's value.

    :raises InvalidParameterValue: naming the key, if it is missing or ``parse`` raises ValueError.
    """
    if raw.get(key) is None:
        raise bad(key, 'missing')
    return parsed(key, raw[key], parse)


def parsed(key: str, raw_value: Any, parse: Callable[[Any], T]) -> T:
    """What ``parse`` makes of a value that was found under ``key``.

    :raises InvalidParameterValue: naming the key, if ``parse`` raises ValueError.
    """
    try:
        return parse(raw_value)
    except ValueError as error:
        # Not chained: the traceback of a log would show what the text leaves out.
        raise bad(key, str(error)) from None


def items(raw: Raw, key: str) -> Sequence[Any]:
    """A key's value if it is a list or a tuple; empty where it is missing.

    :raises InvalidParameterValue: if it is something else.
    """
    found = raw.get(key)
    if found is None:
        return ()
    if isinstance(found, (list, tuple)):
        return found
    raise bad(key, f'expected a list, got {type(found).__name__}')


def dictionary(key: str, found: object) -> Mapping[Any, Any]:
    """A key's value if it is a dictionary.

    :raises InvalidParameterValue: if it is something else.
    """
    if isinstance(found, Mapping):
        return found
    raise bad(key, f'expected a dictionary, got {type(found).__name__}')


def text(raw_value: Any) -> str:
    """A text that is not empty.

    :raises ValueError: if it is something else.
    """
    if not names.require_text(raw_value):
        raise ValueError('expected a text that is not empty')
    return str(raw_value)


def secret(raw_value: Any) -> str:
    """A CHAP name or secret as open-iscsi keeps it; it does not show in the error.

    :raises ValueError: if it is not one.
    """
    found = text(raw_value)
    if names.RECORD_VALUE.pattern.fullmatch(found) is None:
        raise ValueError(names.RECORD_VALUE.hint)
    if len(found.encode()) > names.RECORD_VALUE.most_bytes:
        raise ValueError(f'it is longer than {names.RECORD_VALUE.most_bytes} bytes')
    return found


def flag(raw: Raw, key: str, *, default: bool = False) -> bool:
    """Whether a key is set; a text says so by its meaning (``'False'`` does not).

    :param default: what a key means that is missing.
    :raises InvalidParameterValue: if a text means neither, or it is another kind of value.
    """
    found = raw.get(key, default)
    if isinstance(found, str):
        return parsed(key, found, _truth)
    if found is None or isinstance(found, int):
        return bool(found)
    raise bad(key, f'expected true or false, got {type(found).__name__}')


def _truth(word: str) -> bool:
    try:
        return bool(strutils.bool_from_string(word, strict=True))
    except ValueError:
        raise ValueError(f'{names.shown(word)} is neither true nor false') from None


def addressing_mode(raw: Raw) -> str | None:
    """How the driver counts LUNs.

    :raises InvalidParameterValue: if it is not a mode that is known.
    """
    found = raw.get('addressing_mode')
    return parsed('addressing_mode', found, names.require_text) if found else None


def kernel_lun(number: int, mode: str | None) -> int:
    """The kernel's number of a LUN that a driver counts by an addressing mode.

    :raises InvalidParameterValue: if the mode is not known or has no such LUN.
    """
    try:
        return addresses.kernel_lun(number, mode)
    except exception.InvalidParameterValue as error:
        raise exception.InvalidParameterValue(err=f'connection property {error}') from None


def wwid(raw: Raw, *keys: str) -> str | None:
    """The WWID under the first of the keys that holds one.

    It is any text that the caller has kept: whose it is, comparison decides.

    :raises InvalidParameterValue: if a key holds something that cannot be one.
    """
    for key in keys:
        if raw.get(key):
            found = parsed(key, raw[key], names.WWID_TEXT.parse).strip()
            # What is made of a name of 8 or 16 bytes (NAA, EUI-64) udev writes in lower case.
            return (found.lower() if _BINARY_WWID.fullmatch(found) else found) or None
    return None


def device_path(raw: Raw, device_info: object = None) -> str | None:
    """The path the caller used, from ``device_info`` or else from the properties.

    :raises InvalidParameterValue: if it cannot be one.
    """
    info = device_info if isinstance(device_info, Mapping) else {}
    # An attach of another kind of volume has returned something else than a path.
    if isinstance(info.get('path'), (str, bytes)) and info['path']:
        return parsed('path', info['path'], _path)
    found = raw.get('device_path')
    return parsed('device_path', found, _path) if found else None


def _path(value: object) -> str:
    try:
        found = os.fsdecode(value) if isinstance(value, (str, bytes)) else ''
        size = len(os.fsencode(found))
    except UnicodeError:
        found, size = '', 0
    if '\0' in found or not 0 < size <= _LONGEST_PATH:
        raise ValueError(f'{names.shown(value)} is not a valid path')
    return found
