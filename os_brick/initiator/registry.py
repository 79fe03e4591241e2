# SPDX-License-Identifier: Apache-2.0
"""Which class serves which protocol on which machine: a row a protocol.

The classes are names, which are imported when they are needed. To add a protocol, add its row to
:data:`PROTOCOLS`.
"""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses
import enum

from os_brick import initiator


class Platform(enum.Enum):
    """Platforms that differ in their protocols."""

    S390X = 's390x'
    PPC64 = 'ppc64'
    OTHER = 'every other'

    @classmethod
    def of(cls, name: str) -> Platform:
        """Return the platform that ``platform.machine()`` calls so."""
        return _MACHINES.get(name, cls.OTHER)


_MACHINES = {
    initiator.S390: Platform.S390X,
    initiator.S390X: Platform.S390X,
    initiator.PPC64: Platform.PPC64,
    initiator.PPC64LE: Platform.PPC64,
}
_EVERYWHERE = frozenset(Platform)
_NOT_S390X = _EVERYWHERE - {Platform.S390X}
_ONLY_OTHER = frozenset({Platform.OTHER})


@dataclasses.dataclass(frozen=True, slots=True)
class Protocol:
    """One protocol.

    :ivar connector: its class, as ``module.Class`` in ``os_brick.initiator.connectors``.
    :ivar platforms: the platforms that have it.
    :ivar keywords: what its class is told, where the class serves several protocols.
    :ivar instead: the class on platforms that have another one.
    """

    connector: str
    platforms: frozenset[Platform] = _ONLY_OTHER
    keywords: Mapping[str, str] = dataclasses.field(default_factory=dict)
    instead: Mapping[Platform, str] = dataclasses.field(default_factory=dict)

    def class_on(self, platform: Platform) -> str | None:
        """Return the dotted name of the class on a platform; ``None`` if it has none."""
        if platform not in self.platforms:
            return None
        return f'{_PACKAGE}.{self.instead.get(platform, self.connector)}'


_PACKAGE = 'os_brick.initiator.connectors'
_ISCSI = 'iscsi.ISCSIConnector'
_REMOTEFS = 'remotefs.RemoteFsConnector'
_NVMEOF = 'nvmeof.NVMeOFConnector'
_FC = {
    Platform.S390X: 'fibre_channel_s390x.FibreChannelConnectorS390X',
    Platform.PPC64: 'fibre_channel_ppc64.FibreChannelConnectorPPC64',
}


def _mount(name: str, platforms: frozenset[Platform] = _ONLY_OTHER) -> Protocol:
    return Protocol(_REMOTEFS, platforms, {'mount_type': name.lower()})


# In the order of the rows the classes report this host's connector properties: of two that report
# the same key, the later one wins.
PROTOCOLS: dict[str, Protocol] = {
    initiator.ISCSI: Protocol(_ISCSI, _EVERYWHERE),
    initiator.ISER: Protocol(_ISCSI, _NOT_S390X, {'transport': 'iser'}),
    initiator.FIBRE_CHANNEL: Protocol(
        'fibre_channel.FibreChannelConnector', _EVERYWHERE, instead=_FC
    ),
    initiator.NFS: _mount(initiator.NFS, _EVERYWHERE),
    initiator.VZSTORAGE: _mount(initiator.VZSTORAGE, _NOT_S390X),
    initiator.GLUSTERFS: _mount(initiator.GLUSTERFS),
    initiator.SCALITY: _mount(initiator.SCALITY),
    initiator.QUOBYTE: _mount(initiator.QUOBYTE),
    initiator.RBD: Protocol('rbd.RBDConnector', _EVERYWHERE),
    initiator.LOCAL: Protocol('local.LocalConnector', _EVERYWHERE),
    initiator.GPFS: Protocol('gpfs.GPFSConnector', _EVERYWHERE),
    initiator.HUAWEISDSHYPERVISOR: Protocol('huawei.HuaweiStorHyperConnector'),
    initiator.SCALEIO: Protocol('scaleio.ScaleIOConnector'),
    initiator.VMDK: Protocol('vmware.VmdkConnector'),
    initiator.STORPOOL: Protocol('storpool.StorPoolConnector'),
    initiator.NVME: Protocol(_NVMEOF),
    initiator.NVMEOF: Protocol(_NVMEOF),
    initiator.LIGHTOS: Protocol('lightos.LightOSConnector'),
}


# What reports this host's connector properties in the place of a class that is not loaded; ``None``
# of those that report nothing, or the same as another one.
_REPORTS = 'os_brick.initiator.reports'
REPORTS: dict[str, str | None] = {
    f'{_PACKAGE}.{name}': f'{_REPORTS}.{function}' if function else None
    for name, function in {
        'base.BaseLinuxConnector': 'multipath',
        _ISCSI: 'iscsi',
        'fibre_channel.FibreChannelConnector': 'fibre_channel',
        **dict.fromkeys(_FC.values(), ''),
        _REMOTEFS: '',
        'rbd.RBDConnector': 'rbd',
        'local.LocalConnector': '',
        'gpfs.GPFSConnector': '',
        'huawei.HuaweiStorHyperConnector': '',
        'scaleio.ScaleIOConnector': 'powerflex',
        'vmware.VmdkConnector': '',
        'storpool.StorPoolConnector': '',
        _NVMEOF: 'nvme',
        'lightos.LightOSConnector': 'lightos',
    }.items()
}


def classes() -> list[str]:
    """Return the dotted name of every class, in the order of the rows."""
    found = {f'{_PACKAGE}.base.BaseLinuxConnector': None}
    for row in PROTOCOLS.values():
        for name in (row.connector, *row.instead.values()):
            found[f'{_PACKAGE}.{name}'] = None
    return list(found)


def on(machine: str) -> dict[str, str]:
    """Return the dotted class of each protocol on a machine.

    :param machine: as ``platform.machine()`` calls it.
    """
    kind = Platform.of(machine)
    found = {name: row.class_on(kind) for name, row in PROTOCOLS.items()}
    return {name: path for name, path in found.items() if path is not None}
