# SPDX-License-Identifier: Apache-2.0
"""What the arguments of root functions may look like; each is a full match.

No argument of a root function is a command, an option or a path outside a fixed directory. The
checks answer their argument, so that a call reads as a declaration.
"""

from __future__ import annotations

import contextlib
import ipaddress
import re

from os_brick import exception

_DISK = re.compile(r'sd[a-z]{1,8}')
# Every name of the kernel's but those with a path in them (cciss!c0d0).
_BLOCK = re.compile(r'[a-z][a-z0-9_-]{1,30}')
# What multipathd gives a map, and kpartx the maps of its partitions; a UUID has at most 128 bytes
# (DM_UUID_LEN with its NUL), of printable ASCII without the slash.
_MAP_UUID = re.compile(r'(?=.{7,128}$)(?:part[0-9]{1,4}-)?mpath-[!-.0-~]+')
_HCTL = re.compile(r'[0-9]{1,7}:[0-9]{1,7}:[0-9]{1,7}:[0-9]{1,20}')
# RFC 3720 section 3.2.6.3 and RFC 3980: iqn., eui. and naa. names, at most 223 bytes.
_TARGET = re.compile(r'(?:iqn|eui|naa)\.[A-Za-z0-9.:_+~-]{1,219}', re.IGNORECASE)
_IFACE = re.compile(r'[A-Za-z0-9][A-Za-z0-9_.:-]{0,127}')
_HOST_NAME = re.compile(r'(?=.{1,253}$)[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?')
# What udev's scsi_id and multipath write; blanks are replaced there, slashes are not allowed.
_WWID = re.compile(r'[A-Za-z0-9][A-Za-z0-9._:+=@#,~-]{1,127}')
_MAP_NAME = re.compile(r'[A-Za-z0-9][A-Za-z0-9._:+=@#,~-]{0,126}')
# What multipathd's formats are made of: wildcards, and separators that do not end the quotes.
_LAYOUT = re.compile(r'[%A-Za-z0-9 ,:|_/-]{1,128}')


def _full(pattern: re.Pattern[str], value: object, what: str) -> str:
    if isinstance(value, str) and pattern.fullmatch(value):
        return value
    raise exception.InvalidParameterValue(err=f'{value!r} is not a valid {what}')


def disk(name: str) -> str:
    """``name`` if it is a SCSI disk's, such as ``sdc``."""
    return _full(_DISK, name, 'name of a SCSI disk')


def block(name: str) -> str:
    """``name`` if it is a block device's, such as ``sdc`` or ``dm-4``."""
    return _full(_BLOCK, name, 'name of a block device')


def map_uuid(value: str) -> str:
    """``value`` if it is the UUID of a multipath map, or of the map of a partition of one."""
    return _full(_MAP_UUID, value, 'UUID of a multipath map')


def map_name(name: str) -> str:
    """``name`` if a multipath map may be called so."""
    return _full(_MAP_NAME, name, 'name of a multipath map')


def layout(value: str) -> str:
    """``value`` if it is a format of multipathd's lists."""
    return _full(_LAYOUT, value, 'format of multipathd')


def wwid(value: str) -> str:
    """``value`` if it is a WWID in udev's spelling."""
    return _full(_WWID, value, 'WWID')


def hctl(value: str) -> str:
    """``value`` if it is a SCSI address ``host:channel:target:lun``."""
    return _full(_HCTL, value, 'SCSI address')


def target(name: str) -> str:
    """``name`` if it is an iSCSI target's name."""
    return _full(_TARGET, name, 'iSCSI name')


def iface(name: str) -> str:
    """``name`` if an iface record of open-iscsi may be called so."""
    return _full(_IFACE, name, 'name of an iface record')


def address(value: str) -> str:
    """``value`` if it is an IP address or a host name, without brackets."""
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(str(value)))
    return _full(_HOST_NAME, value, 'IP address or host name')


def number(value: object, largest: int, what: str) -> int:
    """``value`` if it is an integer from 0 to ``largest``."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= largest:
        return value
    raise exception.InvalidParameterValue(err=f'{value!r} is not a valid {what} (0 to {largest})')


def port(value: int) -> int:
    """``value`` if it is a TCP port."""
    return number(value, 65535, 'port')


def seconds(value: object) -> float:
    """``value`` if it is a time limit of more than nothing and at most an hour."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= 3600:
        return float(value)
    raise exception.InvalidParameterValue(err=f'{value!r} is not a valid time limit in seconds')


def text(value: object, largest: int, what: str) -> str:
    """``value`` if it is one line of at most ``largest`` characters; never shown in the error."""
    if isinstance(value, str) and len(value) <= largest and value.isprintable():
        return value
    raise exception.InvalidParameterValue(
        err=f'the {what} is not a text of one line of at most {largest} characters'
    )
