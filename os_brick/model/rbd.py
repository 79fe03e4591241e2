# SPDX-License-Identifier: Apache-2.0
"""Images of Ceph's block device: names, monitors, keys and configuration files, without I/O.

What stands in the configuration files and keyrings of others is read as Ceph reads it: sections,
``name = value``, and in a name blanks, hyphens and underscores the same (ceph.conf(5)).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator
import dataclasses
import re
import struct

from os_brick.model import addresses, names, rbd_mark

# The monitors' port of version 1 of the messengers' protocol, and that of version 2.
PORT, PORT_OF_V2 = 6789, 3300

NO_SNAPSHOT = '-'

# Files of sysfs. An image that is deleted and made again has another ID.
IDENTITY = ('cluster_fsid', 'pool_id', 'pool_ns', 'image_id', 'snap_id')

# Linux, net/ceph/ceph_common.c: the values of ms_mode; without it version 1 is spoken.
_V1, _DEFAULT_V2 = 'legacy', 'prefer-crc'
_MODES = (_V1, 'crc', 'secure', _DEFAULT_V2, 'prefer-secure')

# include/crypto.h of Ceph, CryptoKey::encode(): type, time, length of the secret.
_KEY = struct.Struct('<HIIH')
_LONGEST_SECRET = 64
_SECTION = re.compile(r'\[([^\]]*)\]')
_LINE = re.compile(r'([^=]+?)\s*=\s*(.*)')
_COMMENT = re.compile(r'(?:^|\s)[;#].*')
_BETWEEN_MONITORS = re.compile(r'[,;\s]+')
_MONITOR = re.compile(r'(?:(v[12]|any):)?(.+?)(?:/[0-9]+)?')


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Image:
    """An image, or a snapshot of one, as its cluster names it.

    :ivar namespace: of the pool; empty for the one without a name.
    :ivar snapshot: empty for the image itself.
    """

    pool: str
    name: str
    namespace: str = ''
    snapshot: str = ''

    @classmethod
    def parse(cls, value: object) -> Image:
        """The image of ``pool/image``, ``pool/namespace/image`` and ``pool/image@snapshot``.

        :raises ValueError: if the text is neither.
        """
        text = names.require_text(value)
        path, at, snapshot = text.partition('@')
        parts = path.split('/')
        if len(parts) not in (2, 3) or (at and not snapshot):
            raise ValueError(
                f'{names.shown(text)} is not a valid image: expected pool/image or '
                'pool/namespace/image, and @snapshot after it for a snapshot'
            )
        for part in (*parts, *filter(None, [snapshot])):
            names.RBD.parse(part)
        return cls(parts[0], parts[-1], parts[1] if len(parts) == 3 else '', snapshot)

    def require_mappable(self) -> None:
        """Refuse names that the kernel would take for several words, or for options.

        :raises ValueError: saying which.
        """
        for part in filter(None, (self.pool, self.name, self.snapshot)):
            names.RBD_MAPPED.parse(part)
        if self.snapshot == NO_SNAPSHOT:
            raise ValueError(f'{NO_SNAPSHOT} is what the kernel calls no snapshot')
        if self.namespace:
            names.RBD_OPTION.parse(self.namespace)

    @property
    def base(self) -> str:
        """The image without its snapshot."""
        return '/'.join(filter(None, (self.pool, self.namespace, self.name)))

    def __str__(self) -> str:
        return f'{self.base}@{self.snapshot}' if self.snapshot else self.base


@dataclasses.dataclass(frozen=True, slots=True)
class Mapped:
    """An image that the kernel has mapped.

    :ivar number: the kernel's, as in ``/dev/rbd0``.
    :ivar identity: what the kernel shows of it that no other image, or snapshot, has: the ID of the
        cluster first (:data:`IDENTITY`).
    """

    number: int
    image: Image
    identity: tuple[str, ...]

    @property
    def name(self) -> str:
        """Its block device."""
        return f'rbd{self.number}'

    @property
    def fsid(self) -> str:
        """The ID of its cluster."""
        return self.identity[0]

    def __str__(self) -> str:
        return f'/dev/{self.name} (image {self.image} of cluster {self.fsid})'


@dataclasses.dataclass(frozen=True, slots=True)
class Configuration:
    """What the kernel was told when it mapped an image.

    :ivar monitors: the addresses that it was given.
    :ivar mark: the name of its key, or without one what its blanks say: whether we have made it.
    """

    monitors: frozenset[addresses.Portal]
    mark: str

    @classmethod
    def parse(cls, text: str) -> Configuration:
        """That of a ``config_info`` of sysfs (Linux, rbd-sysfs: addresses, options, names)."""
        given, _, rest = text.strip().partition(' ')
        options = dict(_pair(each) for each in rest.partition(' ')[0].split(','))
        mark = options['key'] if 'key' in options else rbd_mark.of_blanks(text)
        return cls(frozenset(monitors_of(given)), mark)

    @property
    def is_ours(self) -> bool:
        """Whether an attach of ours has made the map."""
        return self.mark.startswith(rbd_mark.MARK)

    @property
    def is_probe(self) -> bool:
        """Whether it was made only to learn which cluster answers."""
        return self.mark.startswith(rbd_mark.PROBE_MARK)


def _pair(option: str) -> tuple[str, str]:
    name, _, value = option.partition('=')
    return name, value


def is_same_cluster(one: Iterable[addresses.Portal], other: Iterable[addresses.Portal]) -> bool:
    """Whether two lists of monitors have one in common, by whichever of its two usual ports."""
    return bool({_usual(each) for each in one} & {_usual(each) for each in other})


def _usual(monitor: addresses.Portal) -> addresses.Portal:
    is_v2 = monitor.port == PORT_OF_V2
    return dataclasses.replace(monitor, port=PORT) if is_v2 else monitor


def monitors_of(text: str) -> tuple[addresses.Portal, ...]:
    """The monitors of a ``mon_host``; those that cannot be read are left out.

    ``10.0.0.1``, ``10.0.0.1:6789``, ``[fd00::1]:6789``, names, and ``[v2:10.0.0.1:3300/0,
    v1:10.0.0.1:6789/0]``, of which the address of version 1 is taken where there is one.
    """
    found: dict[str, list[tuple[str, addresses.Portal]]] = {}
    for word in _BETWEEN_MONITORS.split(text):
        match = _MONITOR.fullmatch(_unbracketed(word))
        if match is None:
            continue
        kind = match[1] or 'any'
        try:
            portal = addresses.Portal.parse(match[2], PORT_OF_V2 if kind == 'v2' else PORT)
        except ValueError:
            continue
        found.setdefault(portal.address, []).append((kind, portal))
    return tuple(portal for several in found.values() for portal in _of_version_1(several))


def _unbracketed(word: str) -> str:
    """A word without the bracket that begins or ends a list of one monitor's addresses."""
    if word.startswith(('[v', '[any:')):
        word = word[1:]
    # One more closing bracket than opening ones ends the list.
    return word[:-1] if word.count(']') > word.count('[') else word


def _of_version_1(
    several: list[tuple[str, addresses.Portal]],
) -> list[addresses.Portal]:
    first = [portal for kind, portal in several if kind != 'v2']
    return list(dict.fromkeys(first or [portal for _, portal in several]))


def settings(text: str, sections: Iterable[str]) -> dict[str, str]:
    """The settings of a configuration file or keyring in these sections, the last one winning."""
    found: dict[str, dict[str, str]] = {}
    for section, name, value in _lines(text):
        found.setdefault(section, {})[name] = value
    merged: dict[str, str] = {}
    for section in sections:
        merged |= found.get(section, {})
    return merged


def _lines(text: str) -> Iterator[tuple[str, str, str]]:
    section = ''
    for line in text.splitlines():
        bare = _COMMENT.sub('', line).strip()
        if match := _SECTION.fullmatch(bare):
            section = match[1].strip()
        elif match := _LINE.fullmatch(bare):
            yield section, re.sub(r'[\s_-]+', '_', match[1]), _unquoted(match[2])


def _unquoted(text: str) -> str:
    is_quoted = len(text) > 1 and text[0] == text[-1] and text[0] in '\'"'
    return text[1:-1] if is_quoted else text


def secret_of(keyring: object, user: str) -> str:
    """The secret of a user in the text of a keyring.

    :raises ValueError: if there is none; the text is not shown.
    """
    text = names.require_text(keyring)
    found = settings(text, [f'client.{user}']).get('key', '')
    if not found:
        raise ValueError(f'it has no key of client.{user}')
    return require_secret(found)


def require_secret(value: object) -> str:
    """A secret as Ceph writes it, in base 64.

    :raises ValueError: if it is something else; it is not shown.
    """
    text = names.require_text(value)
    try:
        data = base64.b64decode(text, validate=True)
        length = _KEY.unpack_from(data)[3]
    except (binascii.Error, struct.error, ValueError):
        raise ValueError('the key is not one of Ceph') from None
    if not 0 < length == len(data) - _KEY.size <= _LONGEST_SECRET:
        raise ValueError('the key is not one of Ceph')
    return text


def key_data(secret: str) -> bytes:
    """A secret as the kernel's type of key ``ceph`` takes it.

    :raises ValueError: if it is not one.
    """
    return base64.b64decode(require_secret(secret))


def transport_mode(conf_text: str, user: str) -> str:
    """How the kernel is to speak with a cluster, by ``rbd_default_map_options`` of ceph.conf.

    Empty if it does not say it: then the ports of the monitors do.
    """
    found = settings(conf_text, ['global', 'client', f'client.{user}'])
    options = found.get('rbd_default_map_options', '').split(',')
    modes = [value for name, value in map(_pair, options) if name.strip() == 'ms_mode']
    return modes[-1] if modes and modes[-1] in _MODES else ''


def for_kernel(
    monitors: Iterable[addresses.Portal], mode: str
) -> tuple[tuple[addresses.Portal, ...], str]:
    """The monitors at the ports of one version of the protocol, and the mode to speak it in.

    The kernel speaks one version with all monitors of a map. The mode is empty for version 1.

    :param mode: what the host is configured for; empty if that is not said.
    """
    found = tuple(dict.fromkeys(monitors))
    if mode not in ('', _V1):
        return tuple(_of_version_2(each) for each in found), mode
    first = tuple(each for each in found if each.port != PORT_OF_V2)
    return (first, '') if first else (found, _DEFAULT_V2)


def _of_version_2(monitor: addresses.Portal) -> addresses.Portal:
    """A monitor at the usual port of version 2, if it is given at that of version 1."""
    is_v1 = monitor.port == PORT
    return dataclasses.replace(monitor, port=PORT_OF_V2) if is_v1 else monitor


def conf(monitors: Iterable[addresses.Portal], user: str, secret: str) -> str:
    """A configuration file for one user; Ceph has needed its first line since version 15."""
    lines = ['[global]', f'mon_host = {",".join(map(str, monitors))}']
    if user and secret:
        lines += [f'[client.{user}]', f'key = {secret}']
    return '\n'.join(lines) + '\n'


def keyring_places(cluster: str, user: str, conf_text: str) -> tuple[str, ...]:
    """Where a user's keyring is looked for, as Ceph does it (``keyring`` of ceph.conf(5))."""
    given = settings(conf_text, ['global', 'client', f'client.{user}']).get('keyring')
    places = (
        _BETWEEN_MONITORS.split(given)
        if given
        else [
            f'/etc/ceph/{cluster}.client.{user}.keyring',
            f'/etc/ceph/{cluster}.keyring',
            '/etc/ceph/keyring',
            '/etc/ceph/keyring.bin',
        ]
    )
    words = {'$cluster': cluster, '$name': f'client.{user}', '$id': user, '$type': 'client'}
    return tuple(_expanded(_unquoted(place), words) for place in places)


def _expanded(text: str, words: dict[str, str]) -> str:
    for word, value in words.items():
        text = text.replace(word, value)
    return text
