# SPDX-License-Identifier: Apache-2.0
"""Where a volume is: portals in one spelling, LUNs as the kernel counts them."""

from __future__ import annotations

import dataclasses
import functools
import ipaddress
import re

from os_brick import constants, exception
from os_brick.model import names

ISCSI_PORT = 3260
# SAM-3, 4.9: the two top bits of a two-byte LUN say how the rest is meant; 01b is flat space.
_FLAT_SPACE = 0x4000
# SAM-2 arrays address the first 256 logical units by the peripheral method.
_PERIPHERAL_LUNS = 256
_MOST_FLAT_LUNS = 0x4000
# The largest LUN has 20 digits.
_NUMBER = re.compile(r'[0-9]{1,20}')

# Texts whose portals and addresses are kept: those of the targets of a host. An address with its
# zone has at most 61 characters, a host name 255.
_KEPT = 1024
_LONGEST_KEPT = 512

_PORTAL = re.compile(r'(?:\[(?P<v6>[^\]]+)\]|(?P<other>[^:\[\]]+))(?::(?P<port>[0-9]{1,5}))?')
# iscsiadm appends ``,<target portal group tag>``; -1 is one that it does not know.
_TAG = re.compile(r',(?:-1|[0-9]{1,10})?\Z')


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Portal:
    """Where a target listens.

    :ivar address: an IP address in its shortest spelling, without brackets, or a host name in
        lower case; so two portals are equal when they mean the same address.
    :ivar port: the TCP port.
    """

    address: str
    port: int = ISCSI_PORT

    @classmethod
    def parse(cls, text: str, default_port: int = ISCSI_PORT) -> Portal:
        """The portal of ``10.0.0.1``, ``10.0.0.1:3260``, ``[fe80::1]:3260,1`` and their like.

        :raises ValueError: if the text is none of them.
        """
        is_long = len(names.require_text(text)) > _LONGEST_KEPT
        return cls(*(_parse if is_long else _parsed)(text, default_port))

    @property
    def is_ip(self) -> bool:
        """Whether the address is an IP address and not a host name."""
        return ip(self.address) is not None

    def __str__(self) -> str:
        return (
            f'[{self.address}]:{self.port}'
            if ':' in self.address
            else f'{self.address}:{self.port}'
        )


def _parse(text: str, default_port: int) -> tuple[str, int]:
    """The address and the port of a portal.

    :raises ValueError: if the text is not one.
    """
    bare = _TAG.sub('', text.strip())
    if (address := ip(bare)) is not None:
        return address, default_port
    match = _PORTAL.fullmatch(bare)
    if match is None:
        raise ValueError(f'{names.shown(text)} is not a valid portal')
    port = int(match['port'] or default_port)
    if not 0 < port < 65536:
        raise ValueError(
            f'{names.shown(text)} is not a valid portal: port {port} is not between 1 and 65535'
        )
    if match['v6'] and ip(match['v6']) is None:
        raise ValueError(f'{names.shown(text)} is not a valid portal: not an IPv6 address')
    where = match['v6'] or match['other']
    why = names.HOST_NAME.why_not(where) if ip(where) is None else None
    if why is not None:
        raise ValueError(f'{names.shown(text)} is not a valid portal: {why}')
    return host(where), port


# The portals of a target are parsed again by each look at its sessions.
_parsed = functools.lru_cache(maxsize=_KEPT)(_parse)


def ip(text: str) -> str | None:
    """An IP address in its shortest spelling, or ``None`` if the text is not one."""
    return _ip(text) if len(text) <= _LONGEST_KEPT else None


@functools.lru_cache(maxsize=_KEPT)
def _ip(text: str) -> str | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    if not isinstance(found, ipaddress.IPv6Address):
        return str(found)
    # open-iscsi rejects IPv4-mapped IPv6 addresses; use the embedded IPv4 address.
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    is_usable = found.scope_id is None or names.ZONE.why_not(found.scope_id) is None
    return str(found) if is_usable else None


def host(text: str) -> str:
    """An IP address in its shortest spelling, or a host name in lower case.

    :raises ValueError: if the text is neither.
    """
    found = ip(text)
    return names.HOST_NAME.parse(text).lower() if found is None else found


def lun(value: object) -> int:
    """A LUN given as an integer or as its decimal text.

    :raises ValueError: if it is neither, or the largest, which means every LUN to the kernel.
    """
    number = value
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        number = int(value)
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 2**64 - 1:
        raise ValueError(f'{names.shown(value)} is not a valid LUN')
    return number


def kernel_lun(number: int, addressing_mode: str | None = None) -> int:
    """The LUN that Linux uses for a LUN that a driver reports under an addressing mode.

    :param addressing_mode: one of ``constants.SCSI_ADDRESSING_MODES``; ``None`` means SAM.
    :raises InvalidParameterValue: for another mode, or a LUN that is too large for it.
    """
    mode = addressing_mode or constants.SCSI_ADDRESSING_SAM
    if mode not in constants.SCSI_ADDRESSING_MODES:
        raise exception.InvalidParameterValue(
            err=f'addressing_mode: {names.shown(addressing_mode)} is not one of '
            f'{", ".join(constants.SCSI_ADDRESSING_MODES)}'
        )
    flat = mode == constants.SCSI_ADDRESSING_SAM3_FLAT or (
        mode == constants.SCSI_ADDRESSING_SAM2 and number >= _PERIPHERAL_LUNS
    )
    if flat and number >= _MOST_FLAT_LUNS:
        # Its upper bits would say another addressing method, and so be another LUN.
        raise exception.InvalidParameterValue(
            err=f'addressing_mode: {mode} has no LUN {number}: flat space ends with '
            f'{_MOST_FLAT_LUNS - 1}'
        )
    return number + _FLAT_SPACE if flat else number


def udev_lun(number: int) -> str:
    """A kernel's LUN as udev writes it in the names below ``/dev/disk/by-path``."""
    if number < _PERIPHERAL_LUNS:
        return str(number)
    return f'0x{number & 0xFFFF:04x}{number >> 16 & 0xFFFF:04x}00000000'
