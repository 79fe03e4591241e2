# SPDX-License-Identifier: Apache-2.0
"""What the arguments of root functions may look like; each is a full match.

No argument of a root function is a command, an option or a path outside a fixed directory. The
checks answer their argument, so that a call reads as a declaration.
"""

from __future__ import annotations

import re
from typing import Any

from os_brick import exception
from os_brick.model import addresses, names

# What multipathd's formats are made of: wildcards, and separators that do not end the quotes.
_LAYOUT = names.Rule('format of multipathd', re.compile(r'[%A-Za-z0-9 ,:|_/-]+'), 128)


def full(rule: names.Rule, value: object) -> str:
    """``value`` if it is as the rule says.

    :raises InvalidParameterValue: if it is not.
    """
    try:
        return rule.parse(value)
    except ValueError as error:
        raise exception.InvalidParameterValue(err=str(error)) from None


def disk(name: str) -> str:
    """``name`` if it is a SCSI disk's, such as ``sdc``."""
    return full(names.SCSI_DISK, name)


def block(name: str) -> str:
    """``name`` if it is a block device's, such as ``sdc`` or ``dm-4``."""
    return full(names.BLOCK, name)


def map_uuid(value: str) -> str:
    """``value`` if it is the UUID of a multipath map, or of the map of a partition of one."""
    return full(names.MAP_UUID, value)


def map_name(name: str) -> str:
    """``name`` if a multipath map may be called so; it may contain blanks and quotes."""
    return full(names.MAP, name)


def layout(value: str) -> str:
    """``value`` if it is a format of multipathd's lists."""
    return full(_LAYOUT, value)


def wwid(value: str) -> str:
    """``value`` if it is a WWID in udev's spelling."""
    return full(names.WWID, value)


def hctl(value: str) -> str:
    """``value`` if it is a SCSI address ``host:channel:target:lun``."""
    return full(names.SCSI_ADDRESS, value)


def target(name: str) -> str:
    """``name`` if it is an iSCSI target's name."""
    return full(names.ISCSI_NAME, name)


def iface(name: str) -> str:
    """``name`` if an iface record of open-iscsi may be called so."""
    return full(names.IFACE, name)


def nqn(name: str) -> str:
    """``name`` if it is an NVMe qualified name."""
    return full(names.NQN, name)


def address(value: str) -> str:
    """``value`` if it is an IP address or a host name, in any spelling, without brackets."""
    return value if addresses.ip(str(value)) else full(names.HOST_NAME, value)


def number(value: object, largest: int, what: str) -> int:
    """``value`` if it is an integer from 0 to ``largest``."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= largest:
        return value
    raise exception.InvalidParameterValue(
        err=f'{names.shown(value)} is not a valid {what} (0 to {largest})'
    )


def items(value: object, largest: int, what: str) -> tuple[Any, ...]:
    """``value`` if it is a tuple or a list of at most ``largest`` items."""
    if isinstance(value, (tuple, list)) and len(value) <= largest:
        return tuple(value)
    raise exception.InvalidParameterValue(
        err=f'{names.shown(value)} is not a valid list of {what} (at most {largest})'
    )


def pairs(value: object, largest: int, what: str) -> tuple[tuple[Any, Any], ...]:
    """``value`` if it is a list of pairs, whose parts are not looked at."""
    found = items(value, largest, what)
    for each in found:
        if len(items(each, 2, f'two parts of {what}')) != 2:
            raise exception.InvalidParameterValue(err=f'{names.shown(each)} is not a pair')
    return found


def settings(value: object, what: str) -> dict[Any, Any]:
    """``value`` if it is a dictionary, whose parts are not looked at."""
    if isinstance(value, dict):
        return dict(value)
    raise exception.InvalidParameterValue(err=f'{names.shown(value)} is not a dictionary of {what}')


def port(value: int) -> int:
    """``value`` if it is a TCP port."""
    return number(value, 65535, 'port')


def seconds(value: object) -> float:
    """``value`` if it is a time limit of more than nothing and at most an hour."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= 3600:
        return float(value)
    raise exception.InvalidParameterValue(
        err=f'{names.shown(value)} is not a valid time limit in seconds'
    )


def record_value(value: object, what: str) -> str:
    """``value`` if open-iscsi reads it back from a record as it is; never shown in the error."""
    if isinstance(value, str) and names.RECORD_VALUE.why_not(value) is None:
        return value
    raise exception.InvalidParameterValue(err=f'the {what} is not valid: {names.RECORD_VALUE.hint}')
