# SPDX-License-Identifier: Apache-2.0
"""Types of the dictionaries that connectors take and return, for callers that check theirs.

::

    from os_brick.initiator import connector, properties

    wanted: properties.ISCSI = {
        'target_portal': '10.0.0.1:3260',
        'target_iqn': 'iqn.2026-11.org.array:t1',
        'target_lun': 1,
    }
    found = connector.InitiatorConnector.factory('ISCSI', None).connect_volume(wanted)

All keys are optional here, since which are needed depends on the others; a connector raises
``InvalidParameterValue`` for one that is missing. Keys that are not listed are ignored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict


class Common(TypedDict, total=False):
    """What the properties of several protocols have in common.

    ``qos_specs`` and its kind, which are for others than connectors, are not listed.
    """

    volume_id: str
    device_path: str
    encrypted: bool
    enforce_multipath: bool
    access_mode: str


class SCSI(Common, total=False):
    """What iSCSI and Fibre Channel volumes have in common."""

    target_lun: int | str
    target_luns: Sequence[int | str]
    addressing_mode: str | None
    expected_wwid: str
    scsi_wwn: str


class ISCSI(SCSI, total=False):
    """Properties of an iSCSI or iSER volume."""

    target_portal: str
    target_iqn: str
    target_portals: Sequence[str]
    target_iqns: Sequence[str]
    target_discovered: bool
    auth_method: str
    auth_username: str
    auth_password: str
    discovery_auth_method: str
    discovery_auth_username: str
    discovery_auth_password: str


class FibreChannel(SCSI, total=False):
    """Properties of a Fibre Channel volume."""

    target_wwn: str | Sequence[str]
    target_wwns: Sequence[str]
    targets: Sequence[tuple[str, int | str]]
    initiator_target_map: Mapping[str, Sequence[str]] | None
    initiator_target_lun_map: Mapping[str, Sequence[tuple[str, int | str]]]
    enable_wildcard_scan: bool


class Namespace(TypedDict, total=False):
    """Where one NVMe namespace is: a volume, or one of several that make up a replicated volume.

    ``portals`` has address, port and transport of each: ``('10.0.0.1', 4420, 'tcp')``.
    """

    target_nqn: str
    portals: Sequence[Sequence[Any]]
    vol_uuid: str | None
    volume_nguid: str | None
    eui64: str | None
    ns_id: int | str | None
    host_nqn: str
    dhchap_secret: str
    dhchap_ctrl_secret: str
    tls_psk: str
    host_traddr: str | Sequence[str]
    host_iface: str | Sequence[str]
    nqn: str
    target_portal: str
    target_port: int | str
    transport_type: str


class NVMeOF(Namespace, Common, total=False):
    """Properties of an NVMe over Fabrics volume; one with replicas is an md array over them."""

    volume_replicas: Sequence[Namespace]
    replica_count: int
    alias: str


class LightOSNode(TypedDict, total=False):
    """The discovery service of one node of a cluster."""

    target_portal: str
    target_port: int | str
    transport_type: str


class LightOS(Common, total=False):
    """Properties of a volume of one of Lightbits' clusters."""

    uuid: str
    subsysnqn: str
    lightos_nodes: Mapping[str, LightOSNode]


class StorPool(Common, total=False):
    """Properties of a StorPool volume; ``volume`` is Cinder's id, ``access_mode`` rw or ro."""

    client_id: int
    volume: str


class ScaleIO(Common, total=False):
    """Properties of a PowerFlex volume; with ``sdc_guid`` Cinder has mapped it."""

    scaleIO_volname: str
    scaleIO_volume_id: str | None
    sdc_guid: str
    serverIP: str
    serverPort: int | str
    serverUsername: str
    serverPassword: str
    serverToken: str | None
    config_group: str
    failed_over: bool
    iopsLimit: int | str | None
    bandwidthLimit: int | str | None
    verify_certificate: bool | None
    certificate_path: str | None


class Local(Common, total=False):
    """Properties of a LOCAL or GPFS volume: ``device_path`` alone is used."""


class Huawei(TypedDict, total=False):
    """Properties of a volume of Huawei's distributed storage."""

    volume_id: str


class RBD(Common, total=False):
    """Properties of a Ceph volume; ``name`` is pool and image: ``volumes/volume-1``."""

    name: str
    auth_username: str
    cluster_name: str
    hosts: Sequence[str]
    ports: Sequence[str]
    keyring: str | None
    do_local_attach: bool


class RemoteFS(TypedDict, total=False):
    """Properties of a volume that is a file of a share, on NFS for example."""

    export: str
    name: str
    options: str


class VMDK(TypedDict, total=False):
    """Properties of a virtual disk of VMware's vSphere; ``config`` has options of the driver."""

    volume: str
    volume_id: str
    vmdk_path: str
    vmdk_size: int
    datastore: str
    datacenter: str
    config: Mapping[str, Any]


class DeviceInfo(TypedDict, total=False):
    """What ``connect_volume`` returns; pass it to ``disconnect_volume`` as it is.

    ``path`` is a text but for RBD, whose volumes are open objects without ``do_local_attach``.
    """

    type: str
    path: Any
    scsi_wwn: str
    multipath_id: str
    last_modified: float
    disk_address: str
