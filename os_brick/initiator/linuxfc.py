# SPDX-License-Identifier: Apache-2.0
"""Questions and acts on Fibre Channel adapters under their old names.

Each method is one call into the layers below, or a few. Nothing of ours uses this module.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from oslo_log import log as logging

from os_brick import exception, opts
from os_brick.core import files, wait
from os_brick.host import fc, fc_paths, scsi
from os_brick.initiator import linuxscsi
from os_brick.plans import fibre_channel as plans
from os_brick.privileged import zfcp
from os_brick.request import fibre_channel as request_fc

LOG = logging.getLogger(__name__)
Raw = dict[str, Any]

_FAILED = 'LUN %s of port %s could not be %s FCP device %s: %s'


def _deadline() -> wait.Deadline:
    return wait.Deadline.after(opts.current().operation_seconds)


class LinuxFibreChannel(linuxscsi.LinuxSCSI):
    """Fibre Channel adapters of this host."""

    FC_HOST_SYSFS_PATH = '/sys/class/fc_host'
    HBA_ATTRIBUTES = ('port_name', 'node_name', 'port_state')

    @classmethod
    def get_fc_hbas(cls) -> list[dict[str, str]]:
        """Return the adapters: their name, their place in sysfs and three of their attributes."""
        return [
            {
                'ClassDevice': f'host{port.host}',
                'ClassDevicepath': port.place,
                'port_name': f'0x{port.wwpn}',
                'node_name': f'0x{port.wwnn}',
                'port_state': port.state,
            }
            for port in fc.ports()
        ]

    def get_fc_hbas_info(self) -> list[dict[str, str]]:
        """Return ``port_name``, ``node_name``, ``host_device`` and ``device_path`` of each."""
        return [_info(port) for port in fc.ports()]

    def get_fc_wwpns(self) -> list[str]:
        """Return the names of the ports that are online."""
        return [port.wwpn for port in fc.ports() if port.is_online]

    def get_fc_wwnns(self) -> list[str]:
        """Return the names of the nodes of the ports that are online."""
        return [port.wwnn for port in fc.ports() if port.is_online]

    def _get_hba_channel_scsi_target_lun(
        self, hba: dict[str, str], conn_props: Raw
    ) -> tuple[list[list[Any]], set[int]]:
        """Return channel, target and LUN behind one adapter, and the LUNs without a target.

        The LUNs are as the caller counts them.
        """
        request = request_fc.FcRequest.parse({**conn_props, 'addressing_mode': None})
        paths = [path for path in _paths(request) if path.port.host == _number(hba)]
        found = [[str(path.remote.channel), str(path.remote.target_id), path.lun] for path in paths]
        seen = {(path.remote.wwpn, path.lun) for path in paths}
        asked = [each for port in _port(hba) for each in request.reached_from(port.wwpn)]
        return found, {each.lun for each in asked if (each.wwpn, each.lun) not in seen}

    def rescan_hosts(self, hbas: Collection[dict[str, str]], connection_properties: Raw) -> None:
        """Have adapters look for a volume's LUNs, behind the volume's ports alone.

        Where none of them sees such a port, those that show no target at all look behind
        everything they have, unless ``enable_wildcard_scan`` is false.
        """
        request = request_fc.FcRequest.parse(connection_properties)
        numbers = {_number(hba) for hba in hbas}
        paths = [path for path in _paths(request) if path.port.host in numbers]
        for path in paths:
            scsi.scan(path.address, _deadline())
        if not paths and request.may_scan_widely:
            _scan_widely(request, numbers)


def _scan_widely(request: request_fc.FcRequest, hosts: Collection[int]) -> None:
    for port in fc.ports_without_remotes():
        reached = request.reached_from(port.wwpn) if port.host in hosts else ()
        for lun in sorted({target.lun for target in reached}):
            fc_paths.scan_widely(port, lun, _deadline())


class LinuxFibreChannelS390X(LinuxFibreChannel):
    """FCP devices of IBM Z."""

    def get_fc_hbas_info(self) -> list[dict[str, str]]:
        """Return the same of the adapters that are online."""
        return [_info(port) for port in fc.ports() if port.is_online]

    def configure_scsi_device(self, device_number: str, target_wwn: str, lun: str) -> None:
        """Have an FCP device use a LUN of a port; what fails is only logged.

        :param device_number: such as ``0.0.3080``.
        :param target_wwn: with ``0x``.
        :param lun: all eight bytes, with ``0x``.
        """
        limit = _deadline().limit()
        try:
            if not files.exists(f'/sys/bus/ccw/drivers/zfcp/{device_number}/{target_wwn}'):
                zfcp.rescan_ports(device_number, limit)
            zfcp.add_unit(device_number, target_wwn, lun, limit)
        except (OSError, exception.BrickException) as error:
            LOG.warning(_FAILED, lun, target_wwn, 'added to', device_number, error)

    def deconfigure_scsi_device(self, device_number: str, target_wwn: str, lun: str) -> None:
        """Have an FCP device no longer use a LUN of a port; what fails is only logged."""
        try:
            zfcp.remove_unit(device_number, target_wwn, lun, _deadline().limit())
        except (OSError, exception.BrickException) as error:
            LOG.warning(_FAILED, lun, target_wwn, 'removed from', device_number, error)


class LinuxFibreChannelPPC64(LinuxFibreChannel):
    """Adapters of POWER, which are as everywhere."""


def _info(port: fc.Port) -> dict[str, str]:
    return {
        'port_name': port.wwpn,
        'node_name': port.wwnn,
        'host_device': f'host{port.host}',
        'device_path': port.place,
    }


def _number(hba: dict[str, str]) -> int:
    return int(hba['host_device'].removeprefix('host'))


def _port(hba: dict[str, str]) -> list[fc.Port]:
    return [port for port in fc.ports() if port.host == _number(hba)]


def _paths(request: request_fc.FcRequest) -> list[fc_paths.FcPath]:
    found = plans.port_pairs(fc.ports(), fc.remote_ports(), request)
    every = [fc_paths.FcPath(port, remote, lun) for port, remote, lun in found]
    return [path for path in every if path.remote.target_id is not None]
