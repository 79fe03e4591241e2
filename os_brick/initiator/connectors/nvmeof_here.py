# SPDX-License-Identifier: Apache-2.0
"""What there is of an NVMe volume on this host: its namespaces, and the array over them."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from os_brick import exception
from os_brick.core import wait
from os_brick.host import links, machine, mirror_undo, nvme, nvme_survey
from os_brick.initiator.connectors import nvmeof_raid
from os_brick.model import fabrics
from os_brick.paths import nvme_request
from os_brick.plans import nvme_removal as plans
from os_brick.plans import nvmeof
from os_brick.request import nvmeof as request_nvmeof

Volume = request_nvmeof.NvmeRequest
Namespace = request_nvmeof.Namespace
Replication = request_nvmeof.Replication


def survey(
    request: Volume,
    namespace: Namespace,
    deadline: wait.Deadline,
    *,
    is_here: bool = True,
    for_removal: bool = False,
) -> plans.Choice:
    """What there is of a namespace at the portals of the properties.

    :param is_here: as of :func:`nvme_request.resolved`.
    :param for_removal: whether to look at what only a removal needs, too.
    """
    places = nvme_survey.Places(
        nqn=namespace.nqn,
        portals=nvme_request.resolved(namespace, deadline, is_here=is_here),
        host_nqn=namespace.host_nqn or machine.or_none(machine.known_host_nqn),
        volume=request.key,
    )
    used = _used_head(request.device_path)
    wanted = plans.Wanted(str(namespace), namespace.identity, used)
    if for_removal:
        # The users of members are asked for once their array, which is one, has stopped.
        is_alone = request.replication is Replication.NONE
        found = nvme_survey.for_removal(places, wanted, with_users=is_alone)
    else:
        found = nvme_survey.namespace(places, wanted)
    return plans.choose(found, wanted)


def every(
    request: Volume, deadline: wait.Deadline, *, is_here: bool = True, for_removal: bool = False
) -> list[plans.Choice]:
    """What there is of each namespace of a volume; as :func:`survey`."""
    return [
        survey(request, each, deadline, is_here=is_here, for_removal=for_removal)
        for each in request.namespaces
    ]


def to_detach(
    request: Volume, deadline: wait.Deadline
) -> tuple[list[plans.Choice], plans.FoundArray | None]:
    """What there is of the namespaces of a volume, and its array."""
    here = every(request, deadline, for_removal=True)
    name = array_of(request, heads_of(here))
    return here, nvme_survey.array(name) if name else None


def to_extend(request: Volume, deadline: wait.Deadline) -> tuple[list[plans.Choice], str | None]:
    """What there is of the namespaces of a volume, and its array.

    :raises VolumePathsNotFound: if none is here, or the array is not that the volume has.
    """
    here = every(request, deadline)
    heads = heads_of(here)
    if not heads:
        raise exception.VolumePathsNotFound(f'There is no {named(request)} on this host')
    array = array_of(request, heads)
    if array is None and request.replication is Replication.ARRAY:
        raise exception.VolumePathsNotFound(
            f'There is no array {request.alias} over {", ".join(heads)} on this host'
        )
    return here, array


def array_of(request: Volume, heads: tuple[str, ...]) -> str | None:
    """The array of a replicated volume over its members, or ``None``."""
    is_replicated = request.replication is not Replication.NONE
    return nvmeof_raid.array_of(request.alias, heads) if is_replicated else None


def stop_begun(request: Volume, before: Collection[str], seconds: float) -> None:
    """Stop what udev has begun to assemble of members that are new here, and are about to go.

    :param before: the members that were here before.
    """
    deadline = wait.Deadline.after(seconds)
    here = heads_of(every(request, deadline, is_here=False))
    new = mirror_undo.numbered(head for head in here if head not in before)
    mirror_undo.stop_auto_assembled(new, deadline.remaining)


def heads_of(choices: Iterable[plans.Choice]) -> tuple[str, ...]:
    """The block devices of the namespaces of a volume."""
    return tuple(head for each in choices for head in each.heads)


def named(request: Volume) -> str:
    """The namespaces of a volume, in words."""
    return '; '.join(str(namespace) for namespace in request.namespaces)


def elsewhere(request: Volume) -> str:
    """Where a volume is that the properties do not lead to, in words for a log.

    It was attached by another name of this host, or a portal's name has another address by now.
    """
    found = [
        f'{controller} (connected as {controller.host_nqn or "?"})'
        for namespace in request.namespaces
        if namespace.identity.is_unique
        for controller in nvme.controllers(namespace.nqn)
        if nvmeof.matching(namespace.identity, nvme.paths(controller.name))
    ]
    return (
        f'; it stays behind {"; ".join(found)}, where the properties do not lead' if found else ''
    )


def _used_head(device_path: str | None) -> str | None:
    """The namespace's head that a caller has used, whether it is there or not."""
    name = links.device_of(device_path).rpartition('/')[2] if device_path else ''
    return name if fabrics.is_head(name) else None
