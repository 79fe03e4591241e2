# SPDX-License-Identifier: Apache-2.0
"""Connection properties of NVMe over Fabrics volumes, plain and replicated."""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses
import enum
import re
from typing import Any, Self

from os_brick.model import fabrics, names, nvme_psk
from os_brick.request import common

# NVM Express TP 8018: DHHC-1:<hash>:<key and checksum in base 64>:
_DHCHAP = re.compile(r'DHHC-1:0[0-3]:[A-Za-z0-9+/=]{40,120}:')
_PORTAL_PARTS = (3, 5)
_COUNT = re.compile(r'[0-9]{1,3}')
# This host's side of a portal, as the kernel calls it, in the order of those parts.
_OWN_KEYS = ('host_traddr', 'host_iface')


class Replication(enum.Enum):
    """What a volume consists of."""

    NONE = 'one namespace'
    ARRAY = 'several namespaces under one array'
    PERHAPS = 'one namespace, alone or as the only member of an array'


@dataclasses.dataclass(frozen=True, slots=True)
class Dhchap:
    """The secrets of in-band authentication (NVM Express Base Specification 2.0, section 8.13).

    :ivar host: this host's.
    :ivar controller: the subsystem's, where it has to prove itself as well.
    """

    host: str = dataclasses.field(repr=False)
    controller: str | None = dataclasses.field(default=None, repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Namespace:
    """One namespace: its subsystem, the portals of it, and the names it has to have."""

    nqn: str
    portals: tuple[fabrics.NvmePortal, ...]
    identity: fabrics.NamespaceIdentity
    host_nqn: str | None = None
    dhchap: Dhchap | None = None
    psk: nvme_psk.Psk | None = None

    def __str__(self) -> str:
        return f'namespace ({self.identity}) of subsystem {self.nqn}'


@dataclasses.dataclass(frozen=True, slots=True)
class NvmeRequest(common.BlockRequest):
    """What the caller asked for.

    :ivar namespaces: the namespaces that the volume is made of.
    :ivar replica_count: how many members a new array has to have: no fewer than are named.
    :ivar alias: the name of the array of a replicated volume.
    :ivar volume_id: of a replicated volume, the Block Storage service's.
    """

    namespaces: tuple[Namespace, ...]
    replication: Replication = Replication.NONE
    replica_count: int = 1
    alias: str | None = None
    volume_id: str | None = None

    @property
    def key(self) -> str:
        if self.replication is not Replication.NONE:
            return f'nvme volume {self.volume_id}'
        namespace = self.namespaces[0]
        identity = namespace.identity
        name = identity.uuid or identity.nguid or identity.eui64 or identity.nsid or ''
        return f'nvme {namespace.nqn} {name}'

    @classmethod
    def parse(cls, raw: object, device_info: object = None) -> Self:
        found = common.mapping(raw)
        replicas = common.items(found, 'volume_replicas')
        shared = cls.shared(found, device_info)
        if found.get('volume_replicas') is None:
            return cls(namespaces=(_namespace(found),), **shared)
        if not replicas:
            raise common.bad('volume_replicas', 'it is empty')
        count = common.value(found, 'replica_count', _count) or len(replicas)
        return cls(
            namespaces=tuple(
                _namespace(common.parsed('volume_replicas', replica, _replica), found)
                for replica in replicas
            ),
            replication=Replication.ARRAY if count > 1 else Replication.PERHAPS,
            # A replica that is named and not here may be the one with the data.
            replica_count=max(count, len(replicas)),
            alias=_alias(found),
            volume_id=common.value(found, 'vol_uuid', fabrics.uuid),
            **shared,
        )


def _replica(value: object) -> common.Raw:
    if not isinstance(value, Mapping):
        raise ValueError(f'expected a dictionary for each replica, got {type(value).__name__}')
    return value


def _alias(raw: common.Raw) -> str | None:
    if raw.get('alias') is None:
        return None
    return common.parsed('alias', raw['alias'], names.MD_ALIAS.parse)


def _count(value: object) -> int:
    if not value:
        return 0
    is_number = isinstance(value, (int, str)) and not isinstance(value, bool)
    text = names.shown(value).strip("'") if is_number else ''
    if not _COUNT.fullmatch(text):
        raise ValueError(f'{names.shown(value)} is not a valid number of replicas')
    return int(text)


def _namespace(raw: common.Raw, outer: common.Raw | None = None) -> Namespace:
    """One namespace; what it does not say itself may stand in ``outer``."""
    common_keys = {} if outer is None else {k: v for k, v in outer.items() if k in _INHERITED}
    raw = {**common_keys, **raw}
    is_old = raw.get('target_nqn') is None and not ('portals' in raw and 'nqn' not in raw)
    key = 'nqn' if is_old else 'target_nqn'
    nqn = common.value(raw, key, fabrics.nqn)
    portals = (_old_portal(raw),) if is_old else _portals(raw)
    return Namespace(
        nqn=nqn,
        portals=portals,
        identity=_identity(raw),
        host_nqn=common.parsed('host_nqn', raw['host_nqn'], fabrics.nqn)
        if raw.get('host_nqn')
        else None,
        dhchap=_dhchap(raw),
        psk=_psk(raw, portals),
    )


_INHERITED = (
    *('host_nqn', *_OWN_KEYS),
    *('dhchap_secret', 'dhchap_ctrl_secret', 'tls_psk'),
)


def _old_portal(raw: common.Raw) -> fabrics.NvmePortal:
    for key in ('target_portal', 'target_port', 'transport_type'):
        if raw.get(key) is None:
            raise common.bad(key, 'missing')
    words = (raw['target_portal'], raw['target_port'], raw['transport_type'])
    kind = common.parsed('transport_type', words[2], fabrics.transport_of)
    common.parsed('target_port', words[1], lambda value: fabrics.port_of(kind, value))
    return _portal('target_portal', words, raw, 0)


def _portal(key: str, words: tuple[Any, ...], raw: common.Raw, number: int) -> fabrics.NvmePortal:
    """One portal; this host's side of it, where ``words`` do not say it, stands in its own keys."""
    least, _ = _PORTAL_PARTS
    found = common.parsed(key, words, lambda each: fabrics.NvmePortal.parse(*each))
    for own in _OWN_KEYS[len(words) - least :]:
        words = (*words, _own(raw, own, number))
        found = common.parsed(own, words, lambda each: fabrics.NvmePortal.parse(*each))
    return found


def _portals(raw: common.Raw) -> tuple[fabrics.NvmePortal, ...]:
    if not common.items(raw, 'portals'):
        raise common.bad('portals', 'missing')
    found = []
    for number, item in enumerate(raw['portals']):
        least, most = _PORTAL_PARTS
        if not isinstance(item, (list, tuple)) or not least <= len(item) <= most:
            raise common.bad(
                'portals',
                f'{names.shown(item)} is not a list of address, port and transport',
            )
        found.append(_portal('portals', tuple(item), raw, number))
    return tuple(dict.fromkeys(found))


def _own(raw: common.Raw, key: str, number: int) -> object:
    """This host's side of a portal: one for all portals, or a list with one for each."""
    found = raw.get(key)
    if not isinstance(found, (list, tuple)):
        return found or ''
    if number >= len(found):
        raise common.bad(key, f'it has no value for portal {number + 1}')
    return found[number] or ''


def _identity(raw: common.Raw) -> fabrics.NamespaceIdentity:
    def name(key: str, parse: Any) -> Any:
        return common.parsed(key, raw[key], parse) if raw.get(key) not in (None, '') else None

    nguid: str | None = None
    eui64: str | None = name('eui64', fabrics.eui64)
    given = raw.get('volume_nguid')
    if given not in (None, ''):
        # Some arrays put a 64-bit name where the 128-bit one belongs.
        try:
            nguid = fabrics.uuid(given)
        except ValueError as error:
            try:
                eui64 = fabrics.eui64(given)
            except ValueError:
                raise common.bad('volume_nguid', str(error)) from None
    found = fabrics.NamespaceIdentity(
        uuid=name('vol_uuid', fabrics.uuid),
        nguid=nguid,
        eui64=eui64,
        nsid=name('ns_id', fabrics.nsid),
    )
    given = [key for key in ('vol_uuid', 'volume_nguid', 'eui64') if raw.get(key)]
    if given and not found.is_unique and found.nsid is None:
        raise common.bad(given[0], 'it consists of zeros only, which names no namespace')
    return found


def _psk(raw: common.Raw, portals: tuple[fabrics.NvmePortal, ...]) -> nvme_psk.Psk | None:
    if raw.get('tls_psk') is None:
        return None
    for portal in portals:
        if portal.transport != fabrics.TCP:
            raise common.bad('tls_psk', f'only TCP has TLS, and portal {portal} is not over TCP')
    return common.parsed('tls_psk', raw['tls_psk'], nvme_psk.Psk.parse)


def _dhchap(raw: Mapping[str, Any]) -> Dhchap | None:
    secrets: dict[str, str | None] = {}
    for key in ('dhchap_secret', 'dhchap_ctrl_secret'):
        secret = raw.get(key)
        if secret is not None and not (isinstance(secret, str) and _DHCHAP.fullmatch(secret)):
            raise common.bad(key, 'it is not of the form DHHC-1:<hash>:<base 64>:')
        secrets[key] = secret
    if secrets['dhchap_secret'] is None:
        if secrets['dhchap_ctrl_secret'] is not None:
            raise common.bad('dhchap_secret', 'missing, although dhchap_ctrl_secret is given')
        return None
    return Dhchap(secrets['dhchap_secret'], secrets['dhchap_ctrl_secret'])
