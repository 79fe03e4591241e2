# SPDX-License-Identifier: Apache-2.0
"""What is known of a volume of PowerFlex on this host, and what would be done with it."""

from __future__ import annotations

import dataclasses

from os_brick import exception
from os_brick.core import observe
from os_brick.host import block, links, powerflex
from os_brick.initiator.connectors import block as block_connector
from os_brick.model import names
from os_brick.plans import acts, agents
from os_brick.request import scaleio as request_scaleio

Request = request_scaleio.ScaleIORequest


def kept_path(request: Request) -> powerflex.Volume | None:
    """The volume of the path that the caller has kept, unless the properties name another one."""
    found = powerflex.volume_of(links.device_of(request.device_path or ''))
    return None if found is not None and request.volume_id not in (None, found.id) else found


def kept(request: Request) -> powerflex.Volume | None:
    """The volume as far as it is known without its gateway."""
    known = powerflex.Volume(request.volume_id) if request.volume_id else None
    return kept_path(request) or known


def device(found: powerflex.Device) -> agents.Device:
    """A device as plans have it."""
    return agents.Device(found.path, found.number, block.size_bytes(found.name))


def agent(request: Request) -> str:
    """The gateway in words; empty where Cinder does what is to be done there."""
    return f'gateway {request.gateway.host}' if request.gateway else ''


def of(operation_name: str, request: Request, *, force: bool) -> acts.Plan:
    """What an operation would do now; neither the gateway nor the client is asked.

    :raises VolumePathsNotFound: if the volume is to be extended and is not here.
    :raises NotImplementedError: for the extend of a volume of which only the name is known.
    """
    volume = kept(request)
    one = powerflex.device_of(volume) if volume else None
    devices = (device(one),) if one else ()
    what = f'PowerFlex volume {volume.id if volume else names.shown(request.name)}'
    found = agents.Found(what, agent(request), devices)
    if operation_name == observe.ATTACH:
        link = f'{powerflex.BY_ID}/emc-vol-*-{volume.id}' if volume else ''
        return agents.powerflex_attach(
            found, link, has_limits=bool(request.limits.as_json()), is_encrypted=request.encrypted
        )
    if operation_name == observe.EXTEND:
        return _extend(volume, found)
    return _detach(request, found, one.name if one else '', force=force)


def _extend(volume: powerflex.Volume | None, found: agents.Found) -> acts.Plan:
    if volume is None:
        raise NotImplementedError(
            'only its gateway knows which volume has the name; pass scaleIO_volume_id'
        )
    if not found.devices:
        raise exception.VolumePathsNotFound
    return agents.powerflex_extend(found)


def _detach(request: Request, found: agents.Found, name: str, *, force: bool) -> acts.Plan:
    doubtful = () if found.devices else tuple(map(device, powerflex.unnamed()))
    # Where Cinder unmaps it, its device stays until then.
    gone = [name] if name and found.agent else []
    links = block_connector.link_steps(request, gone)
    found = dataclasses.replace(found, doubtful=doubtful)
    return agents.powerflex_detach(found, links, force=force)
