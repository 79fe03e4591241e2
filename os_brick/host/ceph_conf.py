# SPDX-License-Identifier: Apache-2.0
"""Configuration files for librbd, each with a user's key in it and in a directory of its own.

``rbd`` and other programs that a caller starts for an open image are given the file, so it stays
until the image is closed. That of a process that was killed goes with the next one that is made.
"""

from __future__ import annotations

from collections.abc import Iterable
import tempfile

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import atomic, files
from os_brick.model import addresses
from os_brick.model import rbd as model

LOG = logging.getLogger(__name__)

_PREFIX, _NAME = 'brickrbd_', 'ceph.conf'
_LARGEST_KEYRING = 1 << 20


def write(
    monitors: Iterable[addresses.Portal], user: str, cluster: str, secret: str | None
) -> atomic.Private:
    """A new file for a user, whose ``remove`` is to be called.

    :param secret: the user's; ``None``: this host has it in a keyring that this process can read.
    :raises BrickException: if it does not.
    :raises OSError: if the file cannot be written.
    """
    place = tempfile.gettempdir()
    atomic.sweep(place, _PREFIX)
    key = _secret_of_host(user, cluster) if user and secret is None else secret or ''
    return atomic.Private(place, _PREFIX, _NAME, model.conf(monitors, user, key).encode())


def _secret_of_host(user: str, cluster: str) -> str:
    conf = files.read_or(f'/etc/ceph/{cluster}.conf')
    whys = []
    for place in model.keyring_places(cluster, user, conf):
        try:
            text = files.read_regular(place, _LARGEST_KEYRING).decode('utf-8', 'replace')
            return model.secret_of(text, user)
        except OSError as error:
            whys.append(f'{place}: {error.strerror}')
        except ValueError as error:
            whys.append(f'{place}: {error}')
    raise exception.BrickException(
        f'The connection properties have no keyring, and this host has none of client.{user} '
        f'that this service can read ({"; ".join(whys)})'
    )
