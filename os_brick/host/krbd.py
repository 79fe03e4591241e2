# SPDX-License-Identifier: Apache-2.0
"""Images of Ceph that the kernel has mapped: which there are, who they are, mapped and unmapped.

A device is an image's by what the kernel shows of it: cluster, pool, namespace, image, snapshot. A
name alone says nothing: two clusters may have an image of one name, and an image that is deleted
and made again is another one. udev's link to a name leads to whichever was mapped last.
"""

from __future__ import annotations

from collections.abc import Iterable
import dataclasses
import errno
import secrets

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import files, net, observe, undo, wait
from os_brick.host import block, idle
from os_brick.model import addresses, rbd_mark
from os_brick.model import rbd as model
from os_brick.plans.rbd_course import Verb
from os_brick.privileged import rbd as root

LOG = logging.getLogger(__name__)

# udev looks at a device that is new, or was written to, for a moment.
_UDEV_SECONDS = 10.0
# A map whose process is killed ends, or is there, in a fraction of this.
_LATE_SECONDS = 1.0
# What the kernel's errors mean here (drivers/block/rbd.c and net/ceph of Linux 6.12; measured).
_REASONS = {
    errno.ENOENT: 'the cluster has no such pool, namespace, image or snapshot',
    errno.EPERM: 'the user may not use the pool or namespace: look at its capabilities',
    errno.EACCES: 'the monitors reject the user or its key',
    errno.EINVAL: 'the kernel rejects the request; a cluster that wants keys needs a user',
    errno.ENXIO: 'the image has features that this kernel does not support: take them from it with '
    '"rbd feature disable"',
    errno.ETIMEDOUT: 'no monitor answers',
    errno.EROFS: 'another client has locked the image for itself and does not let it go',
    errno.ENOKEY: 'this host has no key of the user',
}


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """Where an image is had from: its cluster's monitors, and who asks them.

    :ivar secret: the user's; empty: this host has it in a keyring.
    """

    image: model.Image
    monitors: tuple[addresses.Portal, ...]
    user: str
    cluster: str
    secret: str = dataclasses.field(repr=False)


def of_image(image: model.Image) -> list[model.Mapped]:
    """The mapped images of this name, of whatever cluster."""
    return [each for each in _all() if each.image == image]


def _all() -> list[model.Mapped]:
    numbers = sorted(int(each) for each in files.names(root.DEVICES) if each.isdigit())
    return [_mapped(number) for number in numbers]


def device(name: str) -> model.Mapped | None:
    """The mapped image behind a block device, ``rbd0``; ``None`` if it is not mapped."""
    return next((each for each in _all() if each.name == name), None)


def _mapped(number: int) -> model.Mapped:
    def shown(name: str) -> str:
        return files.read_or(f'{root.DEVICES}/{number}/{name}')

    snapshot = shown('current_snap')
    image = model.Image(
        pool=shown('pool'),
        name=shown('name'),
        namespace=shown('pool_ns'),
        snapshot='' if snapshot == model.NO_SNAPSHOT else snapshot,
    )
    return model.Mapped(number, image, tuple(shown(name) for name in model.IDENTITY))


def is_there(mapped: model.Mapped) -> bool:
    """Whether a device is still mapped, and the same."""
    return _mapped(mapped.number) == mapped


def configurations() -> dict[int, model.Configuration]:
    """What the kernel was told of each mapped image, by its number."""
    return {
        number: model.Configuration(frozenset(model.monitors_of(','.join(monitors))), mark)
        for number, monitors, mark in root.configurations()
    }


def survey(
    image: model.Image,
) -> tuple[list[model.Mapped], dict[int, model.Configuration]]:
    """The maps of an image's name that a volume may be, and what the kernel was told of each.

    What is mapped only to learn an identity (:func:`learn_identity`) is no one's volume.
    """
    found = of_image(image)
    told = configurations() if found else {}
    probes = {number for number, each in told.items() if each.is_probe}
    return [each for each in found if each.number not in probes], told


def monitors_of_host(cluster: str) -> tuple[addresses.Portal, ...]:
    """The monitors that this host's configuration file of a cluster names; none without one."""
    text = files.read_or(f'/etc/ceph/{cluster}.conf')
    return model.monitors_of(model.settings(text, ['global', 'client']).get('mon_host', ''))


def resolved(
    monitors: Iterable[addresses.Portal], deadline: wait.Deadline
) -> tuple[addresses.Portal, ...]:
    """Monitors with addresses for names; those that do not resolve are left out.

    :raises OSError: if none is left.
    """
    found: list[addresses.Portal] = []
    failed: OSError | None = None
    for each in monitors:
        try:
            where = (each.address,) if each.is_ip else net.resolve(each.address, deadline)
        except OSError as error:
            LOG.warning('The host name of monitor %s does not resolve: %s', each, error)
            failed = error
        else:
            found += [addresses.Portal(address, each.port) for address in where]
    if failed is not None and not found:
        raise failed
    return tuple(dict.fromkeys(found))


def new_mark(*, probe: bool = False) -> str:
    """What one map is known by, and no other."""
    return (rbd_mark.PROBE_MARK if probe else rbd_mark.MARK) + secrets.token_hex(8)


def map_image(
    source: Source, steps: undo.Undo, deadline: wait.Deadline, clean_up_seconds: float
) -> model.Mapped:
    """Have an image mapped, by a new map.

    :raises VolumeDeviceNotFound: saying why it cannot be mapped.
    :raises VolumeInUse: if another client has locked it.
    :raises OperationTimedOut: if the cluster does not answer in time.
    """
    mark = new_mark()
    steps.add(take_back, mark, clean_up_seconds)
    found = _added(source, mark, deadline, read_only=bool(source.image.snapshot))
    if found.image != source.image:
        raise exception.VolumeIdentityMismatch(
            device=f'/dev/{found.name}', expected=str(source.image), actual=str(found.image)
        )
    return found


def _words(image: model.Image) -> tuple[str, str, str, str]:
    return (image.pool, image.name, image.namespace, image.snapshot)


def _added(source: Source, mark: str, deadline: wait.Deadline, *, read_only: bool) -> model.Mapped:
    try:
        number = root.add(
            monitors=tuple(map(str, source.monitors)),
            user=source.user,
            cluster=source.cluster,
            secret=source.secret,
            image=_words(source.image),
            mark=mark,
            read_only=read_only,
            timeout=deadline.limit(),
        )
    except OSError as error:
        raise _why_not_mapped(source, error) from error
    except exception.OperationTimedOut:
        # What was killed may have done it all the same, and is taken back then.
        late = wait.Deadline.after(_LATE_SECONDS)
        wait.holds(lambda: any(each.mark == mark for each in configurations().values()), late)
        raise
    return _mapped(number)


def _why_not_mapped(source: Source, error: OSError) -> exception.BrickException:
    who = f'client.{source.user}' if source.user else 'no user'
    where = ', '.join(map(str, source.monitors))
    why = _REASONS.get(error.errno or 0, str(error))
    text = f'Image {source.image} cannot be mapped as {who} with monitors {where}: {why}'
    if error.errno == errno.ENOKEY:
        text = f'{text} ({error.strerror})'
    if error.errno == errno.EROFS:
        return exception.VolumeInUse(text)
    return exception.VolumeDeviceNotFound(text)


@undo.verb
def take_back(mark: str, seconds: float) -> None:
    """Unmap what a failed attach has mapped.

    It is looked for among all maps: the kernel may show another name than it was asked for.
    """
    deadline = wait.Deadline.after(seconds)
    told = configurations()
    for each in _all():
        if each.number in told and told[each.number].mark == mark != '':
            _remove(each, deadline, force=False)


def learn_identity(
    source: Source, steps: undo.Undo, deadline: wait.Deadline, clean_up_seconds: float
) -> tuple[str, ...]:
    """The identity of the image that the monitors have under its name now.

    The image is mapped for a moment, read-only: such a map takes no lock and watches nothing, so it
    does not disturb those that use the image (Linux 5.5 and later).

    :raises VolumeDeviceNotFound: saying why it cannot be mapped.
    :raises OperationTimedOut: if the cluster does not answer in time.
    """
    mark = new_mark(probe=True)
    steps.add(take_back, mark, clean_up_seconds)
    found = _added(source, mark, deadline, read_only=True)
    # By force: udev alone looks at it, and nothing can be lost of what is read-only.
    _remove(found, deadline, force=True)
    return found.identity


def sweep_probes(image: model.Image, deadline: wait.Deadline) -> None:
    """Unmap what a process that was killed has mapped only to learn an identity.

    Called with the lock of the image held, under which every other one ends.
    """
    for each in probes(image):
        LOG.warning('%s was mapped by a process that was killed', each)
        try:
            with observe.step(Verb.SWEEP, f'/dev/{each.name}'):
                _remove(each, deadline.within(_UDEV_SECONDS), force=True)
        except (OSError, exception.BrickException) as error:
            LOG.warning('%s stays until the next attach or detach: %s', each, error)


def probes(image: model.Image) -> tuple[model.Mapped, ...]:
    """What is mapped only to learn an identity."""
    found = of_image(image)
    told = configurations() if found else {}
    return tuple(each for each in found if each.number in told and told[each.number].is_probe)


def unmap(mapped: model.Mapped, deadline: wait.Deadline, *, force: bool) -> None:
    """Have the kernel unmap an image; one that has gone already is not an error.

    :param force: whether it matters that something has it open.
    :raises VolumeInUse: if something uses it, without ``force``.
    :raises OperationTimedOut: if the cluster does not answer in time.
    """
    if not force:
        require_unused(mapped)
    _remove(mapped, deadline, force=force)
    if not wait.holds(lambda: not is_there(mapped), deadline):
        raise exception.VolumePathNotRemoved(volume_path=str(mapped))


def require_unused(mapped: model.Mapped) -> None:
    """Have nothing use a mapped image.

    :raises VolumeInUse: if something does.
    """
    users = block.users(mapped.name)
    if users:
        raise exception.VolumeInUse(device=f'/dev/{mapped.name}', holder='; '.join(users))
    idle.require_free([mapped.name])


def _remove(mapped: model.Mapped, deadline: wait.Deadline, *, force: bool) -> None:
    """Unmap, again and again while udev looks at the device."""
    holders: list[str] = []

    def is_removed() -> bool:
        try:
            root.remove(mapped.number, mapped.identity, force, deadline.limit())
        except OSError as error:
            if error.errno != errno.EBUSY:
                return _has_gone(error)
            holders[:] = block.openers(mapped.name)
            return bool(holders)
        return True

    is_done = wait.holds(is_removed, deadline.within(_UDEV_SECONDS))
    if holders or not is_done:
        holder = '; '.join(holders) or 'a process that has it open'
        raise exception.VolumeInUse(device=f'/dev/{mapped.name}', holder=holder)


def _has_gone(error: OSError) -> bool:
    """Whether an unmap has found nothing to unmap; any other error is raised."""
    if error.errno != errno.ENOENT:
        raise error
    return True


def grow(mapped: model.Mapped, deadline: wait.Deadline) -> int:
    """Have the kernel see the size of an image; return it in bytes.

    :raises VolumePathsNotFound: if it is not mapped any more.
    :raises OperationTimedOut: if the cluster does not answer in time, or the device keeps another
        size than its image.
    """
    try:
        root.refresh(mapped.number, mapped.identity, deadline.limit())
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
        raise exception.VolumePathsNotFound(f'{mapped} is not mapped any more') from error

    def grown() -> int | None:
        wanted = int(files.read_or(f'{root.DEVICES}/{mapped.number}/size', '0'))
        size = block.size_bytes(mapped.name)
        if not is_there(mapped):
            raise exception.VolumePathsNotFound(f'{mapped} is not mapped any more')
        # The device has whole sectors.
        return size if size and size == wanted // 512 * 512 else None

    # The block device follows in a work item of the kernel.
    what = f'/dev/{mapped.name} to have the size of its image'
    return wait.until(grown, deadline.within(_UDEV_SECONDS), what)


def remove_old_conf(path: str) -> None:
    """Remove a configuration file, with a key in it, that os-brick 7.1.1 has made for a map.

    :raises BrickException: if it is not one.
    :raises OSError: if it stays.
    """
    root.remove_old_conf(path)
