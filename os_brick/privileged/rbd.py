# SPDX-License-Identifier: Apache-2.0
"""What root does with images of Ceph: the kernel maps and unmaps them (``/sys/bus/rbd``).

Each is one write to a file of sysfs, which may wait for the cluster, so each is done in a child
process; Linux lets all of these waits be ended by a kill. A secret goes into a key of that process,
which the kernel has copied when the write returns: it is on no command line, in no file, and not in
what sysfs shows of the map.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import tempfile

from os_brick import exception, privileged
from os_brick.core import files, kernel, process, wait
from os_brick.model import addresses, names, rbd_mark
from os_brick.model import rbd as model
from os_brick.privileged import check

BUS = '/sys/bus/rbd'
DEVICES = f'{BUS}/devices'
_KEY_TYPE = 'ceph'
_MODPROBE_SECONDS = 10.0
_LARGEST_ID = 2**20
_MOST_MONITORS = 64
# sysfs takes one page (Linux, fs/kernfs/file.c).
_MOST_BYTES = 4095
# How long the kernel waits for the monitors, twice over. The same for every image: maps with equal
# options share one connection to the cluster.
_MONITORS_SECONDS = 30
_LARGEST_KEYRING = 1 << 20
# What os-brick 7.1.1 called the configuration files that it made as root.
_OLD_CONF = re.compile(r'brickrbd_[A-Za-z0-9_]+')


@privileged.entrypoint
def add(
    monitors: tuple[str, ...],
    user: str,
    cluster: str,
    secret: str,
    image: tuple[str, str, str, str],
    mark: str,
    read_only: bool,
    timeout: float,
) -> int:
    """Have the kernel map an image; return the number of its device.

    :param secret: the user's; empty: it is in a keyring of this host.
    :param image: pool, name, namespace and snapshot; the last two may be empty.
    :param mark: what the key is called, by which the map can be known again; it is in the blanks
        of what is written if there is no user, and so no key.
    :raises OperationTimedOut: if the cluster does not answer in time.
    :raises OSError: what the kernel reports; ``ENOKEY`` if this host has no key of the user.
    """
    ends = wait.Deadline.after(check.seconds(timeout))
    wanted = _image(image)
    _require_mark(mark)
    who = check.full(names.CEPH_USER, user) if user else ''
    name = check.full(names.CEPH_CLUSTER, cluster)
    conf = files.read_or(f'/etc/ceph/{name}.conf')
    where, mode = model.for_kernel(_monitors(monitors), model.transport_mode(conf, who))
    options = _options(who, mark, mode, wanted, read_only=bool(read_only))
    text = _order(where, options, wanted, ' ' if who else rbd_mark.blanks_of(mark))
    data = _key_data(who, name, secret, conf) if who else b''
    if not files.exists(BUS):
        process.run('modprobe', 'rbd', timeout=ends.limit(_MODPROBE_SECONDS))
    before = files.names(DEVICES)
    what = f'the map of image {wanted}'
    process.isolated(what, ends.limit(), _add, _control('add'), text, mark, data)
    for number in files.names(DEVICES):
        if number not in before and files.read_or(f'{DEVICES}/{number}/config_info') == text:
            return int(number)
    raise OSError(errno.EIO, f'The kernel has mapped image {wanted}, and does not show it')


def _image(value: object) -> model.Image:
    parts = [str(each) for each in check.items(value, 4, 'parts of the name of an image')]
    pool, name, namespace, snapshot = parts if len(parts) == 4 else ('', '', '', '')
    for part in (pool, name):
        check.full(names.RBD_MAPPED, part)
    image = model.Image(pool, name, namespace, snapshot)
    try:
        image.require_mappable()
    except ValueError as error:
        raise exception.InvalidParameterValue(err=str(error)) from None
    return image


def _require_mark(mark: object) -> None:
    if not rbd_mark.is_mark(mark):
        raise exception.InvalidParameterValue(err=f'{names.shown(mark)} is not a mark of a map')


def _monitors(values: object) -> tuple[addresses.Portal, ...]:
    found = []
    for value in check.items(values, _MOST_MONITORS, 'monitors'):
        try:
            portal = addresses.Portal.parse(value, model.PORT)
        except ValueError as error:
            raise exception.InvalidParameterValue(err=str(error)) from None
        if not portal.is_ip:
            raise exception.InvalidParameterValue(err=f'{portal} is not an IP address and a port')
        found.append(portal)
    if not found:
        raise exception.InvalidParameterValue(err='a map needs the address of a monitor')
    return tuple(found)


def _options(user: str, mark: str, mode: str, image: model.Image, *, read_only: bool) -> list[str]:
    found = [f'name={user}', f'key={mark}'] if user else []
    found.append(f'mount_timeout={_MONITORS_SECONDS}')
    found += [f'ms_mode={mode}'] if mode else []
    found += [f'_pool_ns={image.namespace}'] if image.namespace else []
    return [*found, 'ro'] if read_only else found


def _order(
    monitors: tuple[addresses.Portal, ...], options: list[str], image: model.Image, blanks: str
) -> str:
    """What is written (Linux, Documentation/ABI/testing/sysfs-bus-rbd).

    :param blanks: what stands before the last word.
    """
    words = (','.join(map(str, monitors)), ','.join(options), image.pool, image.name)
    text = f'{" ".join(words)}{blanks}{image.snapshot or model.NO_SNAPSHOT}'
    if len(text.encode()) > _MOST_BYTES:
        raise exception.InvalidParameterValue(err=f'the names of image {image} are too long')
    return text


def _key_data(user: str, cluster: str, secret: str, conf: str) -> bytes:
    try:
        return model.key_data(secret if secret else _secret_of_host(user, cluster, conf))
    except ValueError as error:
        raise exception.InvalidParameterValue(err=f'key of client.{user}: {error}') from None


def _secret_of_host(user: str, cluster: str, conf: str) -> str:
    """The secret that this host keeps for a user.

    :raises OSError: ``ENOKEY`` if there is none.
    """
    places = model.keyring_places(cluster, user, conf)
    for place in places:
        try:
            text = files.read_regular(place, _LARGEST_KEYRING).decode('utf-8', 'replace')
        except OSError:
            continue
        try:
            return model.secret_of(text, user)
        except ValueError:
            continue
    raise OSError(errno.ENOKEY, f'No key of client.{user} is in {", ".join(places)}')


def _control(verb: str) -> str:
    """The file to write to; the plain one is for kernels that were told single_major=N."""
    path = f'{BUS}/{verb}_single_major'
    return path if files.exists(path) else f'{BUS}/{verb}'


def _add(path: str, text: str, mark: str, data: bytes) -> None:
    if not data:
        files.write(path, text)
        return
    with kernel.key(_KEY_TYPE, mark, data):
        files.write(path, text)


@privileged.entrypoint
def configurations() -> list[tuple[int, list[str], str]]:
    """Of each mapped image its number, the monitors that were given, and the name of its key.

    What an image was mapped with may have a secret in it, so no more of it is returned.
    """
    found = []
    for number in filter(str.isdigit, files.names(DEVICES)):
        text = files.read_or(f'{DEVICES}/{number}/config_info')
        told = model.Configuration.parse(text)
        # The name of a key of others is not looked at, and could be one by mistake.
        mark = told.mark if told.is_ours or told.is_probe else ''
        found.append((int(number), sorted(map(str, told.monitors)), mark))
    return found


@privileged.entrypoint
def remove(number: int, identity: tuple[str, ...], force: bool, timeout: float) -> None:
    """Have the kernel unmap an image, if the device is still the one that is meant.

    :param identity: what sysfs shows of it (:data:`model.IDENTITY`).
    :param force: whether what has it open, and I/O that is under way, do not matter.
    :raises OperationTimedOut: if the cluster does not answer in time; the kernel may go on.
    :raises OSError: ``ENOENT`` if it has gone, or is another one by now; ``EBUSY`` if it is open.
    """
    device = _device(number)
    wanted = _identity(identity)
    text = f'{number} force' if force else str(number)
    what = f'the unmap of /dev/rbd{number}'
    limit = check.seconds(timeout)
    process.isolated(what, limit, _remove, _control('remove'), device, wanted, text)


def _device(number: object) -> str:
    return f'{DEVICES}/{check.number(number, _LARGEST_ID, "number of a mapped image")}'


def _identity(values: object) -> tuple[str, ...]:
    return tuple(
        str(each) for each in check.items(values, len(model.IDENTITY), 'parts of an identity')
    )


def _remove(control: str, device: str, identity: tuple[str, ...], text: str) -> None:
    _require_meant(device, identity)
    files.write(control, text)


def _require_meant(device: str, identity: tuple[str, ...]) -> None:
    shown = tuple(files.read_or(f'{device}/{name}') for name in model.IDENTITY)
    # Of a device that is not there all of it is empty.
    if shown != tuple(identity) or not any(shown):
        raise OSError(errno.ENOENT, f'{device} has gone, or is another image by now')


@privileged.entrypoint
def refresh(number: int, identity: tuple[str, ...], timeout: float) -> None:
    """Have the kernel ask the cluster for the size of a mapped image.

    :raises OperationTimedOut: if the cluster does not answer in time.
    :raises OSError: ``ENOENT`` if it has gone, or is another one by now; what the kernel reports.
    """
    device = _device(number)
    what = f'the refresh of /dev/rbd{number}'
    process.isolated(what, check.seconds(timeout), _refresh, device, _identity(identity))


def _refresh(device: str, identity: tuple[str, ...]) -> None:
    _require_meant(device, identity)
    files.write(f'{device}/refresh', '1')


@privileged.entrypoint
def remove_old_conf(path: str) -> None:
    """Remove a configuration file, with a key in it, that os-brick 7.1.1 has made for a map.

    :raises InvalidParameterValue: if the path is not one of those.
    :raises OSError: if the file stays.
    """
    directory, _, name = str(path).rpartition('/')
    if directory != tempfile.gettempdir() or _OLD_CONF.fullmatch(name) is None:
        raise exception.InvalidParameterValue(err=f'{names.shown(path)} is not a file of os-brick')
    try:
        found = os.lstat(files.real(path))
    except FileNotFoundError:
        return
    if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid():
        files.unlink(path)
