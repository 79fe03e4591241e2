# SPDX-License-Identifier: Apache-2.0
"""Connection properties of Ceph's block device."""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses
from typing import Any, Self

from os_brick.model import addresses, names
from os_brick.model import rbd as model
from os_brick.request import common

DEFAULT_CLUSTER = 'ceph'
_LARGEST_PORT = 65535


@dataclasses.dataclass(frozen=True, slots=True)
class RbdRequest(common.BlockRequest):
    """What the caller asked for.

    :ivar image: the image, as its cluster names it.
    :ivar monitors: where its cluster is asked for; none: where this host's configuration says.
    :ivar user: who opens it; empty where the cluster does not ask (cephx is off).
    :ivar cluster: what this host's files in ``/etc/ceph`` are named after.
    :ivar secret: the user's, as the caller passed it; ``None``: this host has it in a keyring.
    :ivar is_local: whether the kernel is to map it; ``None``: as the connector was made.
    :ivar conf: a configuration file that an attach by os-brick 7.1.1 or earlier has left.
    """

    image: model.Image
    monitors: tuple[addresses.Portal, ...] = ()
    user: str = ''
    cluster: str = DEFAULT_CLUSTER
    secret: str | None = dataclasses.field(default=None, repr=False)
    is_local: bool | None = None
    conf: str | None = None

    @property
    def key(self) -> str:
        # Of two clusters that have an image of this name, too: they wait for each other.
        return f'rbd {self.image}'

    @classmethod
    def parse(cls, raw: object, device_info: object = None) -> Self:
        found = common.mapping(raw)
        info = device_info if isinstance(device_info, Mapping) else {}
        user = _optional(found, 'auth_username', names.CEPH_USER) or ''
        local = found.get('do_local_attach')
        return cls(
            image=common.value(found, 'name', model.Image.parse),
            monitors=_monitors(found),
            user=user,
            cluster=_optional(found, 'cluster_name', names.CEPH_CLUSTER) or DEFAULT_CLUSTER,
            secret=_secret(found, user),
            is_local=None if local is None else common.flag(found, 'do_local_attach'),
            conf=info['conf'] if isinstance(info.get('conf'), str) else None,
            **cls.shared(found, device_info),
        )

    def require_mappable(self) -> None:
        """Refuse names that the kernel would take for several words, or for options.

        :raises InvalidParameterValue: naming the key.
        """
        try:
            self.image.require_mappable()
        except ValueError as error:
            raise common.bad('name', str(error)) from None

    def require_monitors(self) -> None:
        """Refuse a request that does not say where its cluster is.

        :raises InvalidParameterValue: naming the key.
        """
        if not self.monitors:
            raise common.bad('hosts', 'missing: the addresses of the monitors, with their ports')


def _optional(raw: common.Raw, key: str, rule: names.Rule) -> str | None:
    found = raw.get(key)
    return None if found is None else common.parsed(key, found, rule.parse)


def _secret(raw: common.Raw, user: str) -> str | None:
    text = raw.get('keyring')
    if not text:
        return None
    if not user:
        raise common.bad('auth_username', 'missing, although keyring is given')
    return common.parsed('keyring', text, lambda value: model.secret_of(value, user))


def _monitors(raw: common.Raw) -> tuple[addresses.Portal, ...]:
    """Hosts and ports go together by their places; what one list has more is left out."""
    hosts, ports = common.items(raw, 'hosts'), common.items(raw, 'ports')
    if bool(hosts) != bool(ports):
        raise common.bad('ports' if hosts else 'hosts', 'missing')
    found = []
    for host, port in zip(hosts, ports, strict=False):
        address = common.parsed('hosts', host, _host)
        found.append(addresses.Portal(address, common.parsed('ports', port, _port)))
    return tuple(dict.fromkeys(found))


def _host(value: Any) -> str:
    text = names.require_text(value)
    is_bracketed = text.startswith('[') and text.endswith(']')
    return addresses.host(text[1:-1] if is_bracketed else text)


def _port(value: Any) -> int:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    is_digits = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 6
    number = int(value) if is_number or is_digits else 0
    if not 0 < number <= _LARGEST_PORT:
        raise ValueError(f'{names.shown(value)} is not a valid port')
    return number
