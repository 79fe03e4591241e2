# SPDX-License-Identifier: Apache-2.0
"""Words for where a volume lies: portals in one spelling, LUNs as the kernel counts them."""

from __future__ import annotations

import dataclasses
import ipaddress
import re

from os_brick import constants, exception

ISCSI_PORT = 3260
# SAM-3, 4.9: the two top bits of a two-byte LUN say how the rest is meant; 01b is flat space.
_FLAT_SPACE = 0x4000
# SAM-2 arrays address the first 256 logical units in the peripheral way.
_PERIPHERAL_LUNS = 256

_LABEL = r'[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?'
HOST_NAME = re.compile(rf'(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})*')
_WITH_PORT = re.compile(r'(?:\[(?P<v6>[^\]]+)\]|(?P<other>[^:\[\]]+))(?::(?P<port>[0-9]{1,5}))?')


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

        :raises ValueError: if the text is not one of them.
        """
        if not isinstance(text, str):
            raise ValueError(f'a text is wanted, not {type(text).__name__}')
        # iscsiadm appends ``,<target portal group tag>``.
        bare = text.strip().partition(',')[0]
        if (address := ip(bare)) is not None:
            return cls(address, default_port)
        match = _WITH_PORT.fullmatch(bare)
        if match is None:
            raise ValueError(f'{text!r} is not a valid portal')
        port = int(match['port'] or default_port)
        name = ip(match['v6'] or match['other'])
        if name is None:
            name = match['other'].lower() if match['other'] else ''
            if not HOST_NAME.fullmatch(name):
                raise ValueError(f'{text!r} is not a valid portal')
        if not 0 < port < 65536:
            raise ValueError(
                f'{text!r} is not a valid portal: port {port} is not between 1 and 65535'
            )
        return cls(name, port)

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


def ip(text: str) -> str | None:
    """An IP address in its shortest spelling, or ``None`` if the text is none."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    # open-iscsi cannot use an IPv4 address in IPv6's clothes; it is the IPv4 address.
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found)


def lun(value: object) -> int:
    """A LUN given as an integer or as its decimal text.

    :raises ValueError: if it is neither, or the largest, which means every LUN to the kernel.
    """
    if isinstance(value, str) and value.isdecimal() and value.isascii():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**64 - 1:
        raise ValueError(f'{value!r} is not a valid LUN')
    return value


def kernel_lun(number: int, addressing_mode: str | None = None) -> int:
    """The LUN that Linux uses for a LUN that a driver reports under an addressing mode.

    :param addressing_mode: one of ``constants.SCSI_ADDRESSING_MODES``; ``None`` means SAM.
    :raises InvalidParameterValue: for another mode.
    """
    mode = addressing_mode or constants.SCSI_ADDRESSING_SAM
    if mode not in constants.SCSI_ADDRESSING_MODES:
        raise exception.InvalidParameterValue(
            err=f'addressing_mode {addressing_mode!r} is not one of '
            f'{", ".join(constants.SCSI_ADDRESSING_MODES)}'
        )
    flat = mode == constants.SCSI_ADDRESSING_SAM3_FLAT or (
        mode == constants.SCSI_ADDRESSING_SAM2 and number >= _PERIPHERAL_LUNS
    )
    return number + _FLAT_SPACE if flat else number


def udev_lun(number: int) -> str:
    """A kernel's LUN as udev writes it in the names below ``/dev/disk/by-path``."""
    if number < _PERIPHERAL_LUNS:
        return str(number)
    return f'0x{number & 0xFFFF:04x}{number >> 16 & 0xFFFF:04x}00000000'
