# SPDX-License-Identifier: Apache-2.0
"""Lightbits' discovery client on this host: whether it runs, and the files that tell it what to do.

The client connects this host to every controller of a cluster as soon as a file names a discovery
service of it, and keeps it connected. It never disconnects, and it does not connect again what
another program has disconnected (its README). So its controllers are left to it.
"""

from __future__ import annotations

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import glance, http, net, undo, wait
from os_brick.model import lightos, settings
from os_brick.privileged import lightos as root

LOG = logging.getLogger(__name__)

# It is a program of this host, and answers within milliseconds.
ANSWER_SECONDS = 2.0
_LOOPBACK = 'lo'
_OK = 200


def answers(client: settings.DiscoveryClient, seconds: float = ANSWER_SECONDS) -> bool:
    """Whether the client runs here, and tells so."""
    server = http.Server(client.address, client.port)
    request = http.Request('HEAD', '/metrics')
    try:
        return http.Client(server).ask(request, wait.Deadline.after(seconds)).status == _OK
    except exception.BrickException as error:
        LOG.debug('The discovery client of LightOS does not answer: %s', error)
        return False


def is_installed(client: settings.DiscoveryClient) -> bool:
    """Whether there is the directory in which the client looks for files; it makes that itself."""
    if glance.is_directory(client.directory):
        return True
    # It may be one that only root looks into.
    parent = client.directory.rpartition('/')[0]
    return glance.is_directory(parent) and root.has_dsc_directory(client.directory)


def own_addresses() -> list[str]:
    """The addresses by which this host may reach a cluster, for its access lists."""
    try:
        found = net.own_addresses()
    except OSError as error:
        LOG.warning('The addresses of this host are not known: %s', error)
        return []
    return list(dict.fromkeys(address for name, address in found if name != _LOOPBACK))


def path_of(client: settings.DiscoveryClient, uuid: str) -> str:
    """Where a volume's file is."""
    return f'{client.directory}/{lightos.file_name(uuid)}'


def has_file(client: settings.DiscoveryClient, uuid: str) -> bool:
    """Whether there is a volume's file."""
    return root.has_dsc_file(client.directory, uuid)


def add(
    client: settings.DiscoveryClient, entry: lightos.Entry, steps: undo.Undo | None = None
) -> None:
    """Write a volume's file, or bring one that is there up to date.

    :param steps: what takes back a file that was not there before; another attachment of the volume
        may have made one that was.
    :raises BrickException: if it cannot be written.
    """
    try:
        if steps is not None and not has_file(client, entry.uuid):
            steps.add(remove_file, client.directory, entry.uuid)
        root.write_dsc_file(client.directory, entry.uuid, entry.host_nqn, entry.nqn, entry.services)
    except OSError as error:
        raise exception.BrickException(
            f'{path_of(client, entry.uuid)} cannot be written: {error}. Is the discovery client of '
            'LightOS installed, and [os_brick] lightos_discovery_client_dir_path its directory?'
        ) from error


@undo.verb
def remove_file(directory: str, uuid: str) -> None:
    """Remove a volume's file; one that has gone already is not an error.

    :raises OSError: if it stays.
    """
    root.delete_dsc_file(directory, uuid)
