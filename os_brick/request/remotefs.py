# SPDX-License-Identifier: Apache-2.0
"""What a caller asks of a remote file system: a share, where it is mounted, a file in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import dataclasses
import os
from typing import Any

from os_brick import exception
from os_brick.model import mount_options, names, shares
from os_brick.request import common

Raw = Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Volume:
    """A volume that is a file of a share.

    :ivar share: the share; one of Virtuozzo Storage may hold a password.
    :ivar name: the file, a path relative to where the share is mounted.
    :ivar flags: words for the command line of ``mount``.
    """

    share: str = dataclasses.field(repr=False)
    name: str
    flags: tuple[str, ...] = dataclasses.field(default=(), repr=False)

    @classmethod
    def parse(cls, raw: object) -> Volume:
        """Read a caller's dictionary; which shares there are, the kind of file system says.

        :raises InvalidParameterValue: naming the key that is missing or wrong.
        """
        found = common.mapping(raw)
        return cls(
            share=common.value(found, 'export', common.text),
            name=common.value(found, 'name', shares.FILE.parse),
            flags=tuple(_options(found).split()),
        )


def _options(raw: Raw) -> str:
    if raw.get('options') is None:
        return ''
    return common.parsed('options', raw['options'], names.require_text)


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """What a client of one kind of file system was made with.

    :ivar base: the directory below which shares are mounted.
    :ivar options: options for ``mount``, with commas between them; read with each mount.
    """

    kind: shares.Kind
    base: str
    options: object = dataclasses.field(default=None, repr=False)

    @classmethod
    def of(cls, mount_type: object, given: Raw) -> Settings:
        """Read the keywords of a client.

        :raises ProtocolNotSupported: if there is no such type.
        :raises InvalidParameterValue: if the directory is missing.
        """
        kind = shares.KINDS.get(mount_type) if isinstance(mount_type, str) else None
        if kind is None:
            raise exception.ProtocolNotSupported(
                f'Remote file systems of type {names.shown(mount_type)} are not supported; there '
                f'are: {", ".join(shares.KINDS)}'
            )
        key = f'{kind.prefix}_mount_point_base'
        if not given.get(key):
            raise exception.InvalidParameterValue(err=f'{key} is missing')
        options = given.get(f'{kind.prefix}_mount_options')
        return cls(kind, str(given[key]), options)

    @property
    def required_base(self) -> str:
        """The directory, as the kernel's table may have it.

        :raises InvalidParameterValue: if it is not an absolute path.
        """
        base = os.path.normpath(self.base)
        try:
            return shares.DIRECTORY.parse(base)
        except ValueError as error:
            raise bad(f'{self.kind.prefix}_mount_point_base', error) from None

    @property
    def option_text(self) -> str | None:
        """The options for ``mount`` that are configured.

        :raises InvalidParameterValue: if they are not a text.
        """
        if self.options is None or isinstance(self.options, str):
            return self.options
        key = f'{self.kind.prefix}_mount_options'
        raise exception.InvalidParameterValue(err=f'{key}: expected a text')


@dataclasses.dataclass(frozen=True, slots=True)
class Mount:
    """One share, where it is to be mounted, and how.

    :ivar point: the mount point as the caller knows it; it may be reached through links.
    :ivar key: what it is locked by, and called in errors; without a password.
    :ivar flags: for ``pstorage-mount``.
    """

    kind: shares.Kind
    share: str = dataclasses.field(repr=False)
    point: str
    key: str
    options: mount_options.Options = dataclasses.field(default_factory=mount_options.Options)
    virtuozzo: shares.Virtuozzo | None = None
    flags: tuple[str, ...] = ()


def bad(key: str, error: ValueError) -> exception.InvalidParameterValue:
    """The error for a share or flags that a caller has passed; it never shows a secret."""
    return exception.InvalidParameterValue(err=f'{key}: {error}')


def checked_place(settings: Settings, place: str) -> str:
    """Where a share is to be mounted, if it is outside the directories of the system itself.

    :raises InvalidParameterValue: naming the directory that a client was made with.
    """
    try:
        return shares.outside_system(place)
    except ValueError as error:
        raise bad(f'{settings.kind.prefix}_mount_point_base', error) from None


def checked(rule: names.Rule, value: object, key: str) -> str:
    """A value that a rule is for.

    :raises InvalidParameterValue: naming the key.
    """
    try:
        return rule.parse(value)
    except ValueError as error:
        raise bad(key, error) from None


def mount_of(
    settings: Settings,
    share: object,
    point: str,
    flags: Sequence[str] | None,
    keys: tuple[str, str] = ('share', 'mount options'),
) -> Mount:
    """What is to be mounted.

    :param keys: what an error calls the share and the flags.
    :raises InvalidParameterValue: naming what is wrong with the share, the flags or the options.
    """
    kind = settings.kind
    if kind.name == 'vzstorage':
        return _of_virtuozzo(kind, share, point, flags, keys)
    if kind.share is None:
        raise exception.ProtocolNotSupported(protocol=kind.name)
    source = checked(kind.share, share, keys[0])
    text = settings.option_text
    _parsed(f'{kind.prefix}_mount_options', kind, text, ())
    return Mount(kind, source, point, source, _parsed(keys[1], kind, text, flags))


def _parsed(
    key: str, kind: shares.Kind, text: str | None, flags: Sequence[str] | None
) -> mount_options.Options:
    try:
        return mount_options.parse(kind.name, text, _words(flags))
    except ValueError as error:
        raise bad(key, error) from None


def _of_virtuozzo(
    kind: shares.Kind,
    share: object,
    point: str,
    flags: Sequence[str] | None,
    keys: tuple[str, str],
) -> Mount:
    try:
        cluster = shares.virtuozzo(share)
    except ValueError as error:
        raise bad(keys[0], error) from None
    try:
        words = mount_options.require_pstorage(_words(flags))
    except ValueError as error:
        raise bad(keys[1], error) from None
    return Mount(
        *(kind, str(share), point, f'vzstorage {cluster.cluster}'),
        virtuozzo=cluster,
        flags=words,
    )


def _words(flags: object) -> tuple[str, ...]:
    if isinstance(flags, (list, tuple)):
        return tuple(flags)
    if flags:
        raise ValueError(f'expected a list of flags, got {type(flags).__name__}')
    return ()
