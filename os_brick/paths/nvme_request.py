# SPDX-License-Identifier: Apache-2.0
"""From connection properties and settings to the paths of an NVMe namespace, and their options."""

from __future__ import annotations

import dataclasses

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import operation, wait
from os_brick.host import fc, machine, nvme, nvme_connect
from os_brick.model import fabrics, nvme_psk
from os_brick.paths import nvme as nvme_paths
from os_brick.plans import nvme_attach as plans_attach
from os_brick.plans import nvmeof as plans
from os_brick.request.nvmeof import Namespace, NvmeRequest, Replication

LOG = logging.getLogger(__name__)

# How long I/O to a member of an array waits for a lost controller.
_MEMBER_FAIL_SECONDS = 5
# In the place of a name that nvme-cli will draw.
_NOT_DRAWN = 'not drawn yet'


def request_of(
    request: NvmeRequest, namespace: Namespace, op: operation.Operation
) -> nvme_paths.Request:
    """How the paths to a namespace are connected: by the caller's properties, then the settings."""
    # First: the names of this host are made here if there are none, and a host that cannot connect
    # is left as it is.
    nvme_connect.require_fabrics(op.work)
    # A file that is not right does no harm where the caller gives a name.
    name = machine.or_none(_own_name) if namespace.host_nqn else _own_name()
    return _request(request, namespace, op, name, _own_id(name) if name else None)


def known(
    request: NvmeRequest, namespace: Namespace, op: operation.Operation
) -> tuple[nvme_paths.Request, plans_attach.FoundHost]:
    """The same as :func:`request_of` would have it, and what that would make; nothing is made.

    :raises BrickException: if a file of this host has something else than a name in it.
    """
    find = machine.known_host_nqn
    name = (machine.or_none(find) if namespace.host_nqn else find()) or ''
    has_name = _is_written()
    written = '' if has_name and not name else machine.written_host_id()
    own_id = written or fabrics.uuid_of_nqn(name) or machine.system_uuid()
    host = plans_attach.FoundHost(
        *(name, own_id), nvme_connect.has_fabrics(), has_name, has_id=bool(written)
    )
    found = _request(request, namespace, op, name or None, (name and own_id) or None)
    # No controller has been connected by a name that has still to be drawn.
    return dataclasses.replace(found, host=found.host or (_NOT_DRAWN, '')), host


def _is_written() -> bool:
    """Whether this host's file of its name has something in it, whatever that is."""
    try:
        return bool(machine.written_host_nqn())
    except exception.BrickException:
        return True


def _request(
    request: NvmeRequest,
    namespace: Namespace,
    op: operation.Operation,
    name: str | None,
    own_id: str | None,
) -> nvme_paths.Request:
    conf = op.settings.nvme
    ids = nvme.host_ids(namespace.host_nqn or name or '')
    options = dataclasses.replace(conf, fast_io_fail_tmo=_fast_fail(request, conf.fast_io_fail_tmo))
    if namespace.dhchap:
        own_secret, their_secret = namespace.dhchap.host, namespace.dhchap.controller
        options = dataclasses.replace(
            options, dhchap_secret=own_secret, dhchap_ctrl_secret=their_secret
        )
    return nvme_paths.Request(
        key=request.key,
        host=plans.host(name, namespace.host_nqn, ids, own_id),
        options=options,
        scan_seconds=op.settings.scan_seconds,
        clean_up_seconds=op.clean_up_seconds,
        psk=namespace.psk or _configured_psk(conf.tls_psk),
    )


def _own_name() -> str | None:
    """The name of this host; root is asked for the machine's UUID only if there is none yet."""
    return machine.written_host_nqn() or machine.host_nqn(machine.system_uuid() or None)


def _own_id(name: str) -> str | None:
    return machine.host_id(fabrics.uuid_of_nqn(name) or machine.system_uuid() or None)


def _configured_psk(found: str | None) -> nvme_psk.Psk | None:
    try:
        return nvme_psk.Psk.parse(found) if found else None
    except ValueError as error:
        raise exception.InvalidParameterValue(
            err=f'option [os_brick] nvmeof_tls_psk: {error}'
        ) from None


def _fast_fail(request: NvmeRequest, configured: int | None) -> int | None:
    """An array learns of a lost member by errors only, which the kernel would never give."""
    if configured is not None or request.replication is Replication.NONE:
        return configured
    return _MEMBER_FAIL_SECONDS


def paths_of(namespace: Namespace, deadline: wait.Deadline) -> tuple[nvme_paths.NvmePath, ...]:
    """The paths to a namespace.

    :raises VolumeDeviceNotFound: if no port of this host leads to any of its ports.
    """
    portals = resolved(namespace, deadline, is_here=False)
    if not portals:
        ports = ', '.join(str(portal) for portal in namespace.portals)
        raise exception.VolumeDeviceNotFound(
            f'{namespace}: no Fibre Channel port of this host is online for {ports}'
        )
    LOG.debug('%s has %d paths', namespace, len(portals))
    return tuple(nvme_paths.NvmePath(namespace, portal) for portal in portals)


def resolved(
    namespace: Namespace, deadline: wait.Deadline, *, is_here: bool
) -> tuple[fabrics.NvmePortal, ...]:
    """The portals with addresses for names, and a port of this host for each of Fibre Channel.

    :param is_here: whether a name that does not resolve is an error while there are controllers of
        the subsystem, any of which may be at that portal.
    :raises TargetPortalNotFound: for such a name.
    """
    found: list[fabrics.NvmePortal] = []
    for portal in namespace.portals:
        if portal.transport == fabrics.FC and not portal.host_address:
            own = [f'nn-0x{port.wwnn}:pn-0x{port.wwpn}' for port in fc.ports() if port.is_online]
            found += [dataclasses.replace(portal, host_address=port) for port in own]
            continue
        try:
            found += nvme_connect.resolve(portal, deadline)
        except OSError as error:
            why = f'The host name of portal {portal} does not resolve: {error}'
            if is_here and nvme.controllers(namespace.nqn):
                raise exception.TargetPortalNotFound(why) from error
            LOG.warning('%s', why)
            found.append(portal)
    return tuple(dict.fromkeys(found))
