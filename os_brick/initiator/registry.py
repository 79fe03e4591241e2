# SPDX-License-Identifier: Apache-2.0
"""Which class serves which protocol on which machine; nothing is imported from here.

To add a protocol, add its row to the table of each machine that has it, and its
class to :data:`CLASSES`.
"""

from os_brick import initiator

_PACKAGE = 'os_brick.initiator.connectors'

_ISCSI = f'{_PACKAGE}.iscsi.ISCSIConnector'
_FIBRE_CHANNEL = f'{_PACKAGE}.fibre_channel.FibreChannelConnector'
_FIBRE_CHANNEL_S390X = f'{_PACKAGE}.fibre_channel_s390x.FibreChannelConnectorS390X'
_FIBRE_CHANNEL_PPC64 = f'{_PACKAGE}.fibre_channel_ppc64.FibreChannelConnectorPPC64'
_REMOTEFS = f'{_PACKAGE}.remotefs.RemoteFsConnector'
_RBD = f'{_PACKAGE}.rbd.RBDConnector'
_LOCAL = f'{_PACKAGE}.local.LocalConnector'
_GPFS = f'{_PACKAGE}.gpfs.GPFSConnector'
_HUAWEI = f'{_PACKAGE}.huawei.HuaweiStorHyperConnector'
_SCALEIO = f'{_PACKAGE}.scaleio.ScaleIOConnector'
_VMWARE = f'{_PACKAGE}.vmware.VmdkConnector'
_STORPOOL = f'{_PACKAGE}.storpool.StorPoolConnector'
_NVMEOF = f'{_PACKAGE}.nvmeof.NVMeOFConnector'
_LIGHTOS = f'{_PACKAGE}.lightos.LightOSConnector'

# In the order in which they say what a back end has to know of this host: of two
# that say the same, the later one wins.
CLASSES = [
    f'{_PACKAGE}.base.BaseLinuxConnector',
    _ISCSI,
    _FIBRE_CHANNEL,
    _FIBRE_CHANNEL_S390X,
    _FIBRE_CHANNEL_PPC64,
    _REMOTEFS,
    _RBD,
    _LOCAL,
    _GPFS,
    _HUAWEI,
    _SCALEIO,
    _VMWARE,
    _STORPOOL,
    _NVMEOF,
    _LIGHTOS,
]

_EVERYWHERE = {
    initiator.ISCSI: _ISCSI,
    initiator.LOCAL: _LOCAL,
    initiator.GPFS: _GPFS,
    initiator.RBD: _RBD,
    initiator.NFS: _REMOTEFS,
}

S390X = {
    **_EVERYWHERE,
    initiator.FIBRE_CHANNEL: _FIBRE_CHANNEL_S390X,
}

PPC64 = {
    **_EVERYWHERE,
    initiator.FIBRE_CHANNEL: _FIBRE_CHANNEL_PPC64,
    initiator.ISER: _ISCSI,
    initiator.VZSTORAGE: _REMOTEFS,
}

DEFAULT = {
    **_EVERYWHERE,
    initiator.FIBRE_CHANNEL: _FIBRE_CHANNEL,
    initiator.ISER: _ISCSI,
    initiator.VZSTORAGE: _REMOTEFS,
    initiator.GLUSTERFS: _REMOTEFS,
    initiator.SCALITY: _REMOTEFS,
    initiator.QUOBYTE: _REMOTEFS,
    initiator.HUAWEISDSHYPERVISOR: _HUAWEI,
    initiator.SCALEIO: _SCALEIO,
    initiator.VMDK: _VMWARE,
    initiator.STORPOOL: _STORPOOL,
    initiator.NVME: _NVMEOF,
    initiator.NVMEOF: _NVMEOF,
    initiator.LIGHTOS: _LIGHTOS,
}

BY_MACHINE = {
    initiator.S390: S390X,
    initiator.S390X: S390X,
    initiator.PPC64: PPC64,
    initiator.PPC64LE: PPC64,
}

# Protocols whose class is told by a keyword which of its protocols is meant.
KEYWORDS: dict[str, dict[str, str]] = {
    initiator.ISER: {'transport': 'iser'},
    **{
        protocol: {'mount_type': protocol.lower()}
        for protocol in (
            initiator.NFS,
            initiator.GLUSTERFS,
            initiator.SCALITY,
            initiator.QUOBYTE,
            initiator.VZSTORAGE,
        )
    },
}
