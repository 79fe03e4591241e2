# SPDX-License-Identifier: Apache-2.0
"""What root does for Lightbits' discovery client: its files, one for each volume.

The directory is the client's own, or the one in this process's configuration.
"""

from __future__ import annotations

from oslo_config import cfg

from os_brick import exception, privileged
from os_brick.core import atomic, files
from os_brick.model import fabrics, lightos, names
from os_brick.privileged import check

# Only the client reads it, which is root. The name of this host is all that the cluster asks for.
_MODE = 0o600
_MOST_SERVICES = 64


@privileged.entrypoint
def has_dsc_directory(directory: str) -> bool:
    """Whether there is the directory in which the client looks for files."""
    return files.is_directory(_place(directory))


@privileged.entrypoint
def has_dsc_file(directory: str, uuid: str) -> bool:
    """Whether there is a volume's file."""
    path = _path(directory, uuid)
    return files.exists(path) or files.is_link(path)


@privileged.entrypoint
def write_dsc_file(
    directory: str, uuid: str, host_nqn: str, nqn: str, services: tuple[tuple[str, str], ...]
) -> None:
    """Write a volume's file as a whole; the client connects to what is in it.

    It has another name until it is complete, by which the client leaves it alone.

    :param services: address and port of each discovery service of the cluster.
    :raises OSError: if there is no such directory, or it cannot be written.
    """
    path = _path(directory, uuid)
    entry = lightos.Entry(
        check.full(names.DISCOVERY_WORD, uuid),
        check.full(names.HOST_NQN, host_nqn),
        check.nqn(nqn),
        tuple(_service(each) for each in check.pairs(services, _MOST_SERVICES, 'services')),
    )
    try:
        data = lightos.text(entry).encode()
    except ValueError as error:
        raise exception.InvalidParameterValue(err=str(error)) from None
    atomic.replace(path, data, _MODE, prefix=f'{lightos.RESERVED_PREFIX}os-brick-')


@privileged.entrypoint
def delete_dsc_file(directory: str, uuid: str) -> None:
    """Remove a volume's file; the client leaves what it has connected as it is.

    :raises OSError: if it stays.
    """
    files.unlink(_path(directory, uuid))


def _path(directory: object, uuid: object) -> str:
    return f'{_place(directory)}/{lightos.file_name(_uuid(uuid))}'


def _place(directory: object) -> str:
    place = lightos.directory((_configured(),), str(directory))
    if place is None:
        raise exception.InvalidParameterValue(
            err=f'{names.shown(directory)} is not a directory of the discovery client: the root '
            f'daemon has {_configured()}. Another one has to be in a configuration file that the '
            'daemon is started with ([os_brick] lightos_discovery_client_dir_path)'
        )
    return place


def _configured() -> str:
    return str(cfg.CONF.os_brick.lightos_discovery_client_dir_path)


def _uuid(value: object) -> str:
    """A UUID in the form that names files."""
    try:
        found = fabrics.uuid(value)
    except ValueError as error:
        raise exception.InvalidParameterValue(err=str(error)) from None
    if found is None or found != value:
        raise exception.InvalidParameterValue(err=f'{names.shown(value)} is not a valid UUID')
    return found


def _service(pair: tuple[object, object]) -> tuple[str, str]:
    address, port = pair
    try:
        found = fabrics.NvmePortal.parse(address, port, fabrics.TCP)
    except ValueError as error:
        raise exception.InvalidParameterValue(err=str(error)) from None
    return found.address, found.port
