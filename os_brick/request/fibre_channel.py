# SPDX-License-Identifier: Apache-2.0
"""Connection properties of Fibre Channel volumes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import dataclasses
import re
from typing import Any, Self

from os_brick.model import addresses, names
from os_brick.request import common

# FC-FS-4, 15: eight bytes. Drivers write them with and without 0x, and with colons.
_NAME = re.compile(r'[0-9a-f]{16}')
# The keys that say which of this host's ports leads to which of the array's.
MAPS = ('initiator_target_map', 'initiator_target_lun_map')


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class TargetPort:
    """A port of the array, and the kernel's LUN of the volume behind it.

    :ivar wwpn: the port's name, 16 digits in lower case.
    """

    wwpn: str
    lun: int

    def __str__(self) -> str:
        return f'LUN {self.lun} of port {self.wwpn}'


@dataclasses.dataclass(frozen=True, slots=True)
class FcRequest(common.ScsiRequest):
    """What the caller asked for.

    :ivar target_ports: the array's ports that lead to the volume, none twice.
    :ivar by_initiator: the same for each port of this host that is to be used, by its name;
        ``None`` where each may be used for all of them.
    :ivar is_read_only: whether the volume may not be written anyway.
    :ivar may_scan_widely: whether a LUN may be looked for on all targets of an adapter, where
        its driver does not report which ones it sees.
    """

    target_ports: tuple[TargetPort, ...]
    by_initiator: Mapping[str, tuple[TargetPort, ...]] | None = None
    is_read_only: bool = False
    may_scan_widely: bool = True

    @property
    def key(self) -> str:
        first = min(self.target_ports)
        return f'fc {first.wwpn} {first.lun}'

    @property
    def port_names(self) -> frozenset[str]:
        """The names of all ports of the array that are named anywhere."""
        others = (self.by_initiator or {}).values()
        return frozenset(port.wwpn for ports in (self.target_ports, *others) for port in ports)

    def reached_from(self, wwpn: str) -> tuple[TargetPort, ...]:
        """The target ports that are to be used through one port of this host."""
        return self.target_ports if self.by_initiator is None else self.by_initiator.get(wwpn, ())

    def __str__(self) -> str:
        return '; '.join(str(target) for target in self.target_ports)

    @classmethod
    def parse(cls, raw: object, device_info: object = None) -> Self:
        found = common.mapping(raw)
        target_ports = _target_ports(found)
        return cls(
            target_ports=target_ports,
            by_initiator=_by_initiator(found, target_ports),
            is_read_only=found.get('access_mode') == 'ro',
            may_scan_widely=common.flag(found, 'enable_wildcard_scan', default=True),
            **cls.shared(found, device_info),
        )


def name(raw: object) -> str:
    """A port's name in its one spelling.

    :raises ValueError: if it is none.
    """
    text = common.text(raw).strip().lower()
    digits = text.removeprefix('0x').replace(':', '')
    if not _NAME.fullmatch(digits):
        raise ValueError(f'{names.shown(raw)} is not a valid WWPN')
    return digits


def _target_ports(raw: common.Raw) -> tuple[TargetPort, ...]:
    key = next((key for key in ('target_wwns', 'target_wwn') if raw.get(key)), '')
    if not key and raw.get('targets'):
        return _pairs('targets', raw['targets'], common.addressing_mode(raw))
    if not key:
        raise common.bad('target_wwn', 'missing')
    wwpns = [common.parsed(key, each, name) for each in _several(raw[key])]
    luns = _luns(raw, len(wwpns))
    mode = common.addressing_mode(raw)
    ports = (
        TargetPort(each, common.kernel_lun(lun, mode))
        for each, lun in zip(wwpns, luns, strict=True)
    )
    return tuple(dict.fromkeys(ports))


def _several(value: Any) -> Sequence[Any]:
    return value if isinstance(value, (list, tuple)) else [value]


def _luns(raw: common.Raw, count: int) -> list[int]:
    key = 'target_luns' if raw.get('target_luns') else 'target_lun'
    # A key that is missing is LUN 0; one that holds nothing is a mistake, and LUN 0 another volume.
    given = common.items(raw, key) if key == 'target_luns' else _several(raw.get(key, 0))
    luns = [common.parsed(key, each, addresses.lun) for each in given]
    if len(luns) == 1:
        return luns * count
    if len(luns) != count:
        raise common.bad(key, f'{len(luns)} LUNs for {count} target_wwns')
    return luns


def _pairs(key: str, value: Any, mode: Any) -> tuple[TargetPort, ...]:
    """Pairs of name and LUN, as earlier releases left them in the properties."""
    found = []
    for pair in _several(value):
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise common.bad(key, f'{names.shown(pair)} is not a pair of WWPN and LUN')
        lun = common.parsed(key, pair[1], addresses.lun)
        found.append(TargetPort(common.parsed(key, pair[0], name), common.kernel_lun(lun, mode)))
    return tuple(dict.fromkeys(found))


def _by_initiator(
    raw: common.Raw, target_ports: tuple[TargetPort, ...]
) -> Mapping[str, tuple[TargetPort, ...]] | None:
    key, lun_key = MAPS
    if raw.get(key):
        return {
            common.parsed(key, own, name): _known(key, theirs, target_ports)
            for own, theirs in common.dictionary(key, raw[key]).items()
        }
    if raw.get(lun_key):
        mode = common.addressing_mode(raw)
        return {
            common.parsed(lun_key, own, name): _pairs(lun_key, pairs, mode)
            for own, pairs in common.dictionary(lun_key, raw[lun_key]).items()
        }
    return None


def _known(key: str, theirs: Any, target_ports: tuple[TargetPort, ...]) -> tuple[TargetPort, ...]:
    """The target ports among those of the volume; a map may be of the whole fabric."""
    wwpns = {common.parsed(key, each, name) for each in _several(theirs)}
    return tuple(target for target in target_ports if target.wwpn in wwpns)
