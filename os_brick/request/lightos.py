# SPDX-License-Identifier: Apache-2.0
"""Connection properties of volumes of Lightbits' clusters (LightOS)."""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses
from typing import Self

from os_brick.model import fabrics, names
from os_brick.request import common

# A cluster has a node a server; the client reads them all.
_MOST_NODES = 64


@dataclasses.dataclass(frozen=True, slots=True)
class LightOSRequest(common.BlockRequest):
    """What the caller asked for.

    :ivar uuid: the volume's namespace, by its UUID.
    :ivar nqn: the cluster's subsystem.
    :ivar services: the discovery services of the cluster's nodes; an attach needs one.
    :ivar properties: what the caller has passed.
    """

    uuid: str
    nqn: str
    services: tuple[fabrics.NvmePortal, ...] = ()
    properties: common.Raw = dataclasses.field(default_factory=dict, repr=False, compare=False)

    @property
    def key(self) -> str:
        # That of the same namespace as an NVMe over Fabrics volume.
        return f'nvme {self.nqn} {self.uuid}'

    @property
    def identity(self) -> fabrics.NamespaceIdentity:
        """The names that the namespace has to have."""
        return fabrics.NamespaceIdentity(uuid=self.uuid)

    def __str__(self) -> str:
        return f'namespace ({self.identity}) of subsystem {self.nqn}'

    @classmethod
    def parse(cls, raw: object, device_info: object = None) -> Self:
        found = common.mapping(raw)
        return cls(
            uuid=common.value(found, 'uuid', _uuid),
            nqn=common.value(found, 'subsysnqn', _nqn),
            services=_services(found),
            properties=found,
            **cls.shared(found, device_info),
        )

    def require_services(self) -> tuple[tuple[str, str], ...]:
        """Address and port of each discovery service.

        :raises InvalidParameterValue: if there is none.
        """
        if not self.services:
            raise common.bad('lightos_nodes', 'missing')
        return tuple((portal.address, portal.port) for portal in self.services)


def uuid_of(raw: object) -> str:
    """The volume that connection properties name, whatever else they lack.

    :raises InvalidParameterValue: if they name none.
    """
    return common.value(common.mapping(raw), 'uuid', _uuid)


def _uuid(value: object) -> str:
    found = fabrics.uuid(value)
    if found is None:
        raise ValueError('it consists of zeros only, which names no namespace')
    return found


def _nqn(value: object) -> str:
    return names.DISCOVERY_WORD.parse(fabrics.nqn(value))


def _services(raw: common.Raw) -> tuple[fabrics.NvmePortal, ...]:
    if raw.get('lightos_nodes') is None:
        return ()
    nodes = common.dictionary('lightos_nodes', raw['lightos_nodes'])
    if len(nodes) > _MOST_NODES:
        raise common.bad('lightos_nodes', f'it has more than {_MOST_NODES} nodes')
    found = (common.parsed('lightos_nodes', node, _service) for node in nodes.values())
    return tuple(dict.fromkeys(found))


def _service(node: object) -> fabrics.NvmePortal:
    if not isinstance(node, Mapping):
        raise ValueError(f'expected a dictionary for each node, got {type(node).__name__}')
    for key in ('target_portal', 'target_port', 'transport_type'):
        if node.get(key) in (None, ''):
            raise ValueError(f'{key} is missing')
    portal = fabrics.NvmePortal.parse(
        node['target_portal'], node['target_port'], node['transport_type']
    )
    if portal.transport != fabrics.TCP:
        raise ValueError(f'portal {portal} is not over TCP, which alone the client connects')
    return portal
