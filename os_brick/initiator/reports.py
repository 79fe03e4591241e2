# SPDX-License-Identifier: Apache-2.0
"""What each protocol reports of this host to a storage back end: the parts of connector properties.

The connectors answer with these. A service asks for all protocols at once when it starts, mostly to
use one of them, so nothing here needs a connector: their modules take 0.1 s to load. What a
function needs it imports itself, for the same reason.
"""

from __future__ import annotations

from typing import Any

from oslo_log import log as logging

from os_brick import exception, opts

LOG = logging.getLogger(__name__)


def multipath(_root_helper: str | None, **kwargs: Any) -> dict[str, Any]:
    """Return what the caller passes for multipath."""
    return {
        'multipath': kwargs['multipath'],
        'enforce_multipath': kwargs['enforce_multipath'],
    }


def iscsi(_root_helper: str | None, **_kwargs: Any) -> dict[str, Any]:
    """Return ``initiator``, this host's iSCSI name, if it has one."""
    from os_brick.host import machine

    name = machine.iscsi_name()
    return {'initiator': name} if name else {}


def fibre_channel(_root_helper: str | None, **_kwargs: Any) -> dict[str, Any]:
    """Return ``wwpns`` and ``wwnns``, the names of this host's ports that are online."""
    from os_brick.host import fc

    ports = [port for port in fc.ports() if port.is_online and fc.speaks_scsi(port)]
    found = {'wwpns': [p.wwpn for p in ports], 'wwnns': [p.wwnn for p in ports if p.wwnn]}
    return {key: names for key, names in found.items() if names}


def rbd(_root_helper: str | None, **kwargs: Any) -> dict[str, Any]:
    """Return whether the kernel maps volumes, which a caller may pass as a keyword."""
    return {'do_local_attach': kwargs.get('do_local_attach', False)}


def powerflex(_root_helper: str | None, **_kwargs: Any) -> dict[str, Any]:
    """Return the GUID of this host's client as ``sdc_guid``; nothing if it has none."""
    from os_brick.host import powerflex

    if not powerflex.is_installed():
        return {}
    try:
        return {'sdc_guid': powerflex.guid()}
    except exception.BrickException as error:
        LOG.warning('PowerFlex cannot be used on this host: %s', error)
        return {}


def nvme(_root_helper: str | None, **_kwargs: Any) -> dict[str, Any]:
    """Return who this host is to NVMe subsystems, and whether it has native multipath.

    The names are made once, where nvme-cli is installed. No program is started but for the
    machine's UUID where its firmware does not show in sysfs.
    """
    from os_brick.host import machine
    from os_brick.model import fabrics

    system = machine.system_uuid()
    found: dict[str, Any] = {}
    if machine.has_nvme_cli():
        nqn = machine.or_none(lambda: machine.host_nqn(system or None))
        new_id = fabrics.uuid_of_nqn(nqn or '') or system or None
        found |= {
            'nqn': nqn,
            'nvme_hostid': machine.or_none(lambda: machine.host_id(new_id)) if nqn else None,
        }
    found |= {'uuid': machine.root_file_system_uuid(), 'system uuid': system}
    named = {key: value for key, value in found.items() if value}
    return {**named, 'nvme_native_multipath': machine.has_native_nvme_multipath()}


def lightos(_root_helper: str | None, **_kwargs: Any) -> dict[str, Any]:
    """Return who this host is to a cluster, and whether the discovery client runs.

    Nothing is made, and nothing is returned, on a host that has neither an NVMe name nor nvme-cli
    to make one. The client is asked only where it is installed.
    """
    nqn = nvme_name()
    if not nqn:
        return {}
    from os_brick.host import lightos

    return {
        'nqn': nqn,
        'found_dsc': discovery_client(),
        'host_ips': lightos.own_addresses(),
    }


def nvme_name() -> str:
    """The name of this host, as NVMe over Fabrics volumes have it; empty if there is none."""
    from os_brick.host import machine

    if machine.has_nvme_cli():
        system = machine.system_uuid()
        return machine.or_none(lambda: machine.host_nqn(system or None)) or ''
    return machine.or_none(machine.written_host_nqn) or ''


def discovery_client() -> str:
    """``found`` if LightOS's discovery client runs on this host, else an empty text."""
    from os_brick.host import lightos

    client = opts.current().lightos
    return 'found' if lightos.is_installed(client) and lightos.answers(client) else ''
