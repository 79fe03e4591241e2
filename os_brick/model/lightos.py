# SPDX-License-Identifier: Apache-2.0
"""Files of Lightbits' discovery client: where the discovery services of a cluster are.

Their form is that of nvme-cli's ``discovery.conf``, read as the client does: a line is split at
white space and "=", and ends at "#" (https://github.com/LightBitsLabs/discovery-client, README and
``pkg/clientconfig/conf_parser.go``). It takes TCP alone.
"""

from __future__ import annotations

from collections.abc import Sequence
import dataclasses

from os_brick.model import names

DIRECTORY = '/etc/discovery-client/discovery.d'
# The client leaves files alone that are called so, and reads every other one that appears.
RESERVED_PREFIX = 'tmp.dc.'


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """What one file is to say.

    :ivar uuid: the volume's, which names the file.
    :ivar nqn: the cluster's subsystem.
    :ivar services: address and port of each discovery service.
    """

    uuid: str
    host_nqn: str
    nqn: str
    services: tuple[tuple[str, str], ...]


def file_name(uuid: str) -> str:
    """The name of a volume's file."""
    return f'{uuid}.conf'


def text(entry: Entry) -> str:
    """The content of a volume's file.

    :raises ValueError: if the client would read something else out of it.
    """
    words = [_word(word) for word in (entry.host_nqn, entry.nqn)]
    lines = [
        f'-t tcp -a {_word(address)} -s {_word(port)} -q {words[0]} -n {words[1]}'
        for address, port in entry.services
    ]
    return '\n'.join([f'# Volume {_word(entry.uuid)}, attached by os-brick', *lines, ''])


def _word(value: str) -> str:
    return names.DISCOVERY_WORD.parse(value)


def directory(configured: Sequence[str], wanted: str) -> str | None:
    """The directory that is wanted if it is among those that are configured, in its short form."""
    known = {each.rstrip('/') for each in (*configured, DIRECTORY)}
    return wanted.rstrip('/') if wanted.rstrip('/') in known else None
