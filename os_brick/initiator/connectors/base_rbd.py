# SPDX-License-Identifier: Apache-2.0
"""Volumes of Ceph that the kernel maps as block devices: attach, detach and extend of one."""

from __future__ import annotations

from collections.abc import Collection
import functools
import re
from typing import Any

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import observe, operation, teardown, wait
from os_brick.host import block, krbd, links
from os_brick.initiator.connectors import block as block_connector
from os_brick.model import addresses
from os_brick.model import rbd as model
from os_brick.plans import acts, rbd_course
from os_brick.plans import rbd as plans
from os_brick.plans import steps as plans_steps
from os_brick.plans.rbd_course import Verb
from os_brick.request import rbd as request_rbd
from os_brick.request import result

LOG = logging.getLogger(__name__)
Request = request_rbd.RbdRequest

_READ_SECONDS = 10.0
_DEVICE = re.compile(r'rbd[0-9]+')


class RBDConnectorMixin:
    """What the kernel is asked to do with an image; ``block.BlockConnector`` has the course."""

    def _attach(self, request: Request, op: operation.Operation) -> result.BlockDevice:
        source = _source(request, op.work)
        krbd.sweep_probes(request.image, op.work)
        found = _reusable(source, op) if krbd.of_image(request.image) else None
        with observe.step(Verb.MAP if found is None else Verb.USE, request.image):
            if found is None:
                found = krbd.map_image(source, op.undo, op.work, op.clean_up_seconds)
        with observe.step(Verb.READ, found):
            why = block.why_unusable(found.name, op.work.limit(_READ_SECONDS))
        if why is not None:
            raise exception.VolumeDeviceNotFound(f'{found} cannot be read: {why}') from why
        # Not udev's link: of two clusters with an image of this name it leads to the last one.
        return result.BlockDevice(f'/dev/{found.name}')

    def _detach(
        self, request: Request, steps: teardown.Teardown, op: operation.Operation
    ) -> Collection[str]:
        own = _of_volume(request, op)
        if not own:
            LOG.warning('Detach: image %s is not mapped on this host', request.image)
        gone = [each.name for each in own if _removed(each, steps, op)]
        for each in rbd_course.conf_removed(request.conf):
            steps.run(each, functools.partial(krbd.remove_old_conf, each.object))
        return gone

    def _extend(self, request: Request, op: operation.Operation) -> int:
        # The size of an image that once had the name would be taken for the volume's.
        own = _of_volume(request, op, is_asked=True)
        if not own:
            raise _not_mapped(request)
        sizes = [_grown(each, op) for each in own]
        return sizes[0]

    def _plan(
        self, operation_name: str, request: Request, op: operation.Operation, *, force: bool
    ) -> tuple[plans_steps.Plan[Any], ...]:
        if operation_name == observe.ATTACH:
            return (_attach_plan(request, op),)
        found = _found(request, op, is_asked=operation_name == observe.EXTEND)
        if operation_name == observe.EXTEND:
            if not found.likely:
                raise _not_mapped(request)
            return (rbd_course.growth(found),)
        last = block_connector.link_steps(request, [each.mapped.name for each in found.likely])
        return (
            rbd_course.removal(found, (*rbd_course.conf_removed(request.conf), *last), force=force),
        )

    @staticmethod
    def _paths(request: Request, deadline: wait.Deadline) -> list[str]:
        """The devices of a volume, without asking its cluster."""
        found, told = krbd.survey(request.image)
        monitors = _known_monitors(request, deadline)
        own = plans.as_used(plans.of_monitors(found, told, monitors), _used(request))
        return [f'/dev/{each.name}' for each in own]


def _removed(mapped: model.Mapped, steps: teardown.Teardown, op: operation.Operation) -> bool:
    """Flush and unmap one device; whether it has gone."""
    force, device = steps.on_error.is_forced, _device(mapped)
    limit = teardown.flush_limit(op.deadline, force)
    acts_of = {
        Verb.CHECK_USERS: functools.partial(krbd.require_unused, mapped),
        Verb.FLUSH: functools.partial(block.flush, mapped.name, device.number, limit),
        Verb.UNMAP: functools.partial(krbd.unmap, mapped, op.deadline, force=force),
    }
    ended = [
        steps.run(each, acts_of[Verb(each.verb)])
        for each in rbd_course.removal_of(device, force=force)
    ]
    return ended[-1]


def _device(mapped: model.Mapped) -> rbd_course.Device:
    return rbd_course.Device(mapped, block.inode(mapped.name))


def _grown(mapped: model.Mapped, op: operation.Operation) -> int:
    with observe.step(Verb.REFRESH, mapped):
        return krbd.grow(mapped, op.work)


def _not_mapped(request: Request) -> exception.VolumePathsNotFound:
    return exception.VolumePathsNotFound(f'Image {request.image} is not mapped on this host')


def _attach_plan(request: Request, op: operation.Operation) -> acts.Plan:
    source = _source(request, op.work)
    found, told = krbd.survey(request.image)
    same = plans.of_monitors(found, told, source.monitors)
    reused = plans.to_reuse(same, told, _unfit(request.image, same))
    who = f'client.{source.user}' if source.user else 'no user'
    return rbd_course.attach(
        rbd_course.Found(
            str(request.image),
            tuple(map(_device, found)),
            krbd.probes(request.image),
            (_device(reused),) if reused else (),
            bool(found),
        ),
        f'{who} with monitors {", ".join(map(str, source.monitors))}',
        is_encrypted=request.encrypted,
    )


def _found(request: Request, op: operation.Operation, *, is_asked: bool) -> rbd_course.Found:
    """What there is of a volume, without asking its cluster.

    :param is_asked: as of :func:`_of_volume`.
    """
    found, told = krbd.survey(request.image)
    used = _used(request)
    renamed = _of_another_name(request, used)
    if renamed is not None:
        own: tuple[model.Mapped, ...] | None = None
        likely: tuple[model.Mapped, ...] = (renamed,)
    else:
        monitors = _known_monitors(request, op.work) if found else ()
        own = plans.known(found, told, monitors, used) if found else ()
        # Rather those of the monitors' cluster than the device that has the name by now.
        guess = plans.of_monitors(found, told, monitors) or found if own is None else own
        likely = plans.to_remove(plans.as_used(guess, used), told, used)
    return rbd_course.Found(
        str(request.image),
        tuple(map(_device, dict.fromkeys((*likely, *found)))),
        krbd.probes(request.image),
        tuple(map(_device, likely)),
        own is None or (is_asked and bool(own) and used is None),
    )


def _source(request: Request, deadline: wait.Deadline) -> krbd.Source:
    """Where the image is had from, with the addresses of monitors for their names.

    :raises InvalidParameterValue: if neither the caller nor this host says where that is.
    :raises VolumeDeviceNotFound: if no monitor's name resolves.
    """
    request.require_mappable()
    named = request.monitors or krbd.monitors_of_host(request.cluster)
    if not named:
        request.require_monitors()
    try:
        monitors = krbd.resolved(named, deadline)
    except OSError as error:
        raise exception.VolumeDeviceNotFound(
            f'Image {request.image}: no name of its monitors resolves: {error}'
        ) from error
    return krbd.Source(
        image=request.image,
        monitors=monitors,
        user=request.user,
        cluster=request.cluster,
        secret=request.secret or '',
    )


def _known_monitors(request: Request, deadline: wait.Deadline) -> tuple[addresses.Portal, ...]:
    named = request.monitors or krbd.monitors_of_host(request.cluster)
    try:
        return krbd.resolved(named, deadline)
    except OSError as error:
        LOG.warning('No name of the monitors of image %s resolves: %s', request.image, error)
        return ()


def _reusable(source: krbd.Source, op: operation.Operation) -> model.Mapped | None:
    """The map of the image that is there already, if it is this cluster's."""
    with observe.step(Verb.ASK, source.image):
        identity = krbd.learn_identity(source, op.undo, op.work, op.clean_up_seconds)
    found, told = krbd.survey(source.image)
    same = [each for each in plans.of_cluster(found, identity[0]) if each.identity == identity]
    for each in found:
        if each not in same:
            LOG.warning('%s is not the volume, which is of cluster %s', each, identity[0])
    return plans.to_reuse(same, told, _unfit(source.image, same))


def _unfit(image: model.Image, found: Collection[model.Mapped]) -> set[int]:
    """The numbers of those that are read-only, of an image that is to be written to."""
    needs_writes = not image.snapshot
    return {each.number for each in found if needs_writes and block.is_read_only(each.name)}


def _of_volume(
    request: Request, op: operation.Operation, *, is_asked: bool = False
) -> tuple[model.Mapped, ...]:
    """The maps of the volume, of several its own ones.

    Which cluster a map is of is known by the monitors that the kernel was told. Where they are not
    those of the properties, the cluster is asked. It is asked, too, which image has the name now
    where that is not said by the device that the caller had: the kernel keeps the name that an
    image was mapped by, and it may have been renamed, or made again, since.

    :param is_asked: whether it is asked of the only map, too, where no device says it.
    """
    krbd.sweep_probes(request.image, op.work)
    found, told = krbd.survey(request.image)
    used = _used(request)
    renamed = _renamed(request, used, op)
    if renamed is not None:
        return (renamed,)
    if not found:
        return ()
    monitors = _known_monitors(request, op.work)
    own = plans.known(found, told, monitors, used)
    if own is None or (is_asked and own and used is None):
        identity = _identity(request, op)
        own = plans.answered(found, told, monitors, used, identity)
        own = plans.of_identity(own, identity) if used is None else own
    return plans.to_remove(plans.as_used(own, used), told, used)


def _identity(request: Request, op: operation.Operation) -> tuple[str, ...]:
    source = _source(request, op.work)
    with observe.step(Verb.ASK, source.image):
        return krbd.learn_identity(source, op.undo, op.work, op.clean_up_seconds)


def _renamed(request: Request, used: str | None, op: operation.Operation) -> model.Mapped | None:
    """The device that the caller had, if it is the volume under a name of before.

    The kernel keeps the name that an image was mapped by; Cinder's migration renames images.
    """
    found = _of_another_name(request, used)
    if found is None:
        return None
    try:
        is_same = found.identity == _identity(request, op)
    except exception.VolumeDeviceNotFound as error:
        LOG.warning('%s is not known to be the volume: %s', found, error)
        return None
    return found if is_same else None


def _of_another_name(request: Request, used: str | None) -> model.Mapped | None:
    """The device that the caller had, if it is an image that was mapped by another name."""
    found = krbd.device(used) if used is not None else None
    return None if found is None or found.image == request.image else found


def is_mapped(request: Request) -> bool:
    """Whether the caller had a device that the kernel has mapped now."""
    used = _used(request)
    return used is not None and krbd.device(used) is not None


def _used(request: Request) -> str | None:
    """The name of the device that the caller had, ``rbd0``; ``None`` if its path does not say it.

    The path of an encrypted volume leads elsewhere, and says the device below by its name.
    """
    path = links.device_of(request.device_path or '')
    name = block.name_of(path) or path.rpartition('/')[2]
    return name if _DEVICE.fullmatch(name) else None
