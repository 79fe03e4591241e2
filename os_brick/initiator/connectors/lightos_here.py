# SPDX-License-Identifier: Apache-2.0
"""What there is of a volume of LightOS on this host, and what would be done with it."""

from __future__ import annotations

from typing import Any

from os_brick import exception
from os_brick.core import observe, operation
from os_brick.host import lightos, machine, nvme, nvme_adopt, nvme_growth, nvme_survey
from os_brick.model import settings
from os_brick.plans import acts
from os_brick.plans import lightos as plans_lightos
from os_brick.plans import nvme_removal as plans
from os_brick.plans import steps as steps_module
from os_brick.plans.lightos import Verb
from os_brick.request import lightos as request_lightos

Volume = request_lightos.LightOSRequest


def wanted(request: Volume, host_nqn: str | None) -> nvme_adopt.Wanted:
    """What is searched for behind the controllers that the client connects."""
    what = str(request)
    return nvme_adopt.Wanted(what, request.nqn, request.identity, host_nqn, request.key)


def survey(request: Volume, *, for_removal: bool = False) -> plans.Choice:
    """What there is of the volume, behind every controller of its cluster."""
    found = wanted(request, machine.or_none(machine.known_host_nqn))
    places = nvme_survey.Places(
        nqn=request.nqn,
        portals=tuple(dict.fromkeys(each.portal for each in found.controllers())),
        host_nqn=found.host_nqn,
        volume=request.key,
    )
    namespace = plans.Wanted(str(request), request.identity)
    look = nvme_survey.for_removal if for_removal else nvme_survey.namespace
    return plans.choose(look(places, namespace), namespace)


def to_extend(request: Volume) -> plans.Choice:
    """What there is of a volume that is to grow.

    :raises VolumePathsNotFound: if it is not here.
    """
    choice = survey(request)
    if not choice.heads:
        raise exception.VolumePathsNotFound(f'There is no {request} on this host')
    return choice


def file_removed(client: settings.DiscoveryClient, request: Volume) -> acts.Act:
    """The last step of a detach."""
    return acts.Act(Verb.REMOVE_FILE, lightos.path_of(client, request.uuid))


def require_installed(client: settings.DiscoveryClient) -> None:
    """Have a client that can be told of the volume.

    :raises HostNotReady: if it is not installed.
    """
    if not lightos.is_installed(client):
        raise exception.HostNotReady(
            missing=f'the directory {client.directory} of the discovery client of LightOS',
            remedy='Install the client, or set [os_brick] lightos_discovery_client_dir_path.',
        )


def plan(operation_name: str, request: Volume, op: operation.Operation) -> steps_module.Plan[Any]:
    """What an attach or an extend would do now.

    :raises VolumePathsNotFound: if a volume that is to be extended is not here.
    """
    if operation_name == observe.ATTACH:
        return _attach(request, op)
    choice = to_extend(request)
    look = nvme_growth.look(request.identity, choice.paths)
    return nvme_growth.plan(str(request), [look])


def _attach(request: Volume, op: operation.Operation) -> acts.Plan:
    client = op.settings.lightos
    request.require_services()
    require_installed(client)
    meant = wanted(request, machine.known_host_nqn())
    behind = [f'{one} is {nvme.state(one.name)}' for one in meant.controllers()]
    found = plans_lightos.Found(
        str(request),
        f'{client.address} port {client.port}',
        lightos.path_of(client, request.uuid),
        lightos.has_file(client, request.uuid),
        tuple(behind),
        survey(request).heads,
        bool(machine.written_host_nqn()),
    )
    identity = str(request.identity)
    return plans_lightos.attach(found, identity, is_encrypted=request.encrypted)
