# SPDX-License-Identifier: Apache-2.0
"""What all connection properties share: a key is read, and named when it is wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
import os
import re
from typing import Any, TypeVar

from oslo_utils import strutils

from os_brick import exception

_LONGEST_LINE = 255
T = TypeVar('T')
Raw = Mapping[str, Any]

# Device names that may follow a WWID in udev's spelling are hexadecimal or replaced text.
_WWID = re.compile(r'[A-Za-z0-9][A-Za-z0-9._:+=@#,~-]{1,127}')
_BINARY_WWID = re.compile(r'[238](?:[0-9A-Fa-f]{16}|[0-9A-Fa-f]{32})')


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
    except (ValueError, TypeError, AttributeError) as error:
        raise bad(key, str(error)) from error


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


def text(raw_value: Any) -> str:
    """A text that is not empty.

    :raises ValueError: if it is something else.
    """
    if not isinstance(raw_value, str):
        raise ValueError(f'expected a text, got {type(raw_value).__name__}')
    if not raw_value:
        raise ValueError('expected a text that is not empty')
    return raw_value


def line(raw_value: Any) -> str:
    """A text of one line and of at most 255 bytes, as records and kernels keep them.

    :raises ValueError: if it is something else; the text does not show in the error.
    """
    found = text(raw_value)
    if not found.isprintable() or len(found.encode()) > _LONGEST_LINE:
        raise ValueError(f'expected a text of one line of at most {_LONGEST_LINE} bytes')
    return found


def flag(raw: Raw, key: str, *, default: bool = False) -> bool:
    """Whether a key is set; a text says so by its meaning (``'False'`` does not).

    :param default: what a key means that is missing.
    :raises InvalidParameterValue: if a text means neither.
    """
    found = raw.get(key, default)
    if isinstance(found, str):
        return parsed(key, found, lambda word: strutils.bool_from_string(word, strict=True))
    return bool(found)


def wwid(raw: Raw, *keys: str) -> str | None:
    """The WWID under the first of the keys that holds one, in udev's spelling.

    :raises InvalidParameterValue: if a key holds something that can be none.
    """
    for key in keys:
        if raw.get(key):
            found = parsed(key, raw[key], text).strip()
            if not _WWID.fullmatch(found):
                raise bad(key, f'{found!r} is not a valid WWID')
            # What is made of a name of 8 or 16 bytes (NAA, EUI-64) udev writes in lower case.
            return found.lower() if _BINARY_WWID.fullmatch(found) else found
    return None


def device_path(raw: Raw, device_info: object = None) -> str | None:
    """The path the caller used, from ``device_info`` or else from the properties.

    :raises InvalidParameterValue: if it can be none.
    """
    for place, key in ((device_info, 'path'), (raw, 'device_path')):
        found = place.get(key) if isinstance(place, Mapping) else None
        if isinstance(found, bytes):
            found = os.fsdecode(found)
        if found and isinstance(found, str):
            if '\0' in found:
                raise bad(key, f'{found!r} is not a valid path')
            return found
    return None
