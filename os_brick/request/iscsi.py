# SPDX-License-Identifier: Apache-2.0
"""Connection properties of iSCSI and iSER volumes."""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses
from typing import Any, Self

from os_brick.model import addresses, names
from os_brick.request import common


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class IscsiPath:
    """One path to the volume: a portal, the target's name there, and the kernel's LUN."""

    portal: addresses.Portal
    name: str
    lun: int

    def __str__(self) -> str:
        return f'LUN {self.lun} of target {self.name} at portal {self.portal}'


@dataclasses.dataclass(frozen=True, slots=True)
class Chap:
    """A user and a secret of the challenge handshake (RFC 3720, section 11.1.4)."""

    method: str
    username: str = dataclasses.field(repr=False)
    password: str = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class IscsiRequest(common.ScsiRequest):
    """What the caller asked for.

    :ivar paths: the paths to the volume, none twice; the first is the one of the singular keys
        where only these are given.
    :ivar explicit: whether the caller named every path (the plural keys), so that there is
        nothing to discover.
    :ivar addressing_mode: how the driver counts LUNs; ``paths`` are translated already.
    """

    paths: tuple[IscsiPath, ...]
    explicit: bool
    chap: Chap | None = None
    discovery_chap: Chap | None = None
    volume_id: str | None = None

    @property
    def key(self) -> str:
        first = min(self.paths)
        return f'iscsi {first.name.lower()} {first.lun}'

    @classmethod
    def parse(cls, raw: object, device_info: object = None) -> Self:
        found = common.mapping(raw)
        paths = _paths(found)
        return cls(
            paths=paths,
            explicit=_is_plural(found),
            chap=_chap(found, 'auth'),
            discovery_chap=_chap(found, 'discovery_auth'),
            volume_id=str(found['volume_id']) if found.get('volume_id') else None,
            **cls.shared(found, device_info),
        )


def _is_plural(raw: common.Raw) -> bool:
    return bool(raw.get('target_portals')) and bool(raw.get('target_iqns'))


def _paths(raw: common.Raw) -> tuple[IscsiPath, ...]:
    mode = common.addressing_mode(raw)
    if not _is_plural(raw):
        lun = common.parsed('target_lun', raw.get('target_lun', 0), addresses.lun)
        if 'target_lun' not in raw and raw.get('target_luns'):
            lun = common.parsed('target_luns', common.items(raw, 'target_luns')[0], addresses.lun)
        return (
            IscsiPath(
                common.value(raw, 'target_portal', addresses.Portal.parse),
                common.value(raw, 'target_iqn', _name),
                common.kernel_lun(lun, mode),
            ),
        )
    portals = _parse_all('target_portals', raw, addresses.Portal.parse)
    iqns = _parse_all('target_iqns', raw, _name)
    if len(portals) != len(iqns):
        raise common.bad('target_iqns', f'{len(iqns)} names for {len(portals)} target_portals')
    luns = _luns(raw, len(portals))
    paths = (
        IscsiPath(portal, name, common.kernel_lun(lun, mode))
        for portal, name, lun in zip(portals, iqns, luns, strict=True)
    )
    return tuple(dict.fromkeys(paths))


def _luns(raw: common.Raw, count: int) -> Sequence[int]:
    if raw.get('target_luns'):
        luns = _parse_all('target_luns', raw, addresses.lun)
        if len(luns) != count:
            raise common.bad('target_luns', f'{len(luns)} LUNs for {count} target_portals')
        return luns
    return [common.value(raw, 'target_lun', addresses.lun)] * count


def _parse_all(key: str, raw: common.Raw, parse: Any) -> list[Any]:
    return [common.parsed(key, item, parse) for item in common.items(raw, key)]


def _name(raw: object) -> str:
    return names.ISCSI_NAME.parse(common.text(raw).strip())


def _chap(raw: common.Raw, prefix: str) -> Chap | None:
    key = f'{prefix}_method'
    method = common.parsed(key, raw[key], names.require_text).upper() if raw.get(key) else 'NONE'
    if method == 'NONE':
        return None
    if method != 'CHAP':
        # A caller who has mixed up the keys has put the secret here.
        raise common.bad(key, 'the only method is CHAP')
    return Chap(
        'CHAP',
        common.value(raw, f'{prefix}_username', common.secret),
        common.value(raw, f'{prefix}_password', common.secret),
    )
