# SPDX-License-Identifier: Apache-2.0
"""Options of ``mount``: read from flags and texts of callers, with secrets apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
import dataclasses
import re

from os_brick.model import names

_CONTROL = r'\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff'
# libmount 2.38, mnt_optstr_next_option(): a comma in double quotes is part of a value.
_OPTION = re.compile(r'(?:[^,"]|"[^"]*")+')
_WELL_FORMED = re.compile(
    rf'(?P<name>[A-Za-z_][A-Za-z0-9_.:-]*)(?:=(?P<value>(?:[^,"{_CONTROL}]|"[^"{_CONTROL}]*")*))?'
)
_LONGEST = 1024
_MOST = 64

# mount(8): what these do is not the mount of a share, or it works on another place.
_REFUSED = frozenset(
    {
        *('bind', 'rbind', 'move', 'remount', 'loop', 'offset', 'sizelimit', 'source', 'helper'),
        *('uhelper', 'private', 'rprivate', 'shared', 'rshared', 'slave', 'rslave', 'unbindable'),
        'runbindable',
    }
)
_REFUSED_PREFIXES = ('x-mount.', 'verity.')
# Options whose value may be an absolute path, and where it has to lie.
_PATHS = {
    'credentials': '/',
    'cred': '/',
    'prefixpath': '/',
    'log-file': '/var/log/',
}
# mount.cifs(8). Of these a file of credentials is made, as a command line is for all to read.
_CREDENTIALS = {
    'username': 'username',
    'user': 'username',
    'password': 'password',
    'pass': 'password',
    'password2': 'password2',
    'domain': 'domain',
    'dom': 'domain',
    'workgroup': 'domain',
}
_SECRET = ('password', 'pass', 'password2')

# The flags of mount(8) that mean an option, and those that change nothing.
_FLAGS = {'-r': 'ro', '--read-only': 'ro', '-w': 'rw', '--rw': 'rw', '--read-write': 'rw'}
_WITHOUT_EFFECT = frozenset({'-v', '--verbose', '-n', '--no-mtab'})

_VERSION = re.compile(r'(?:nfsvers|vers).*|v[0-9].*')


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """The options of one mount.

    :ivar words: those that a command line may show, each ``name`` or ``name=value``.
    :ivar credentials: the lines of a file of credentials; empty if none is needed.
    """

    words: tuple[str, ...] = ()
    credentials: tuple[str, ...] = dataclasses.field(default=(), repr=False)

    @property
    def has_version(self) -> bool:
        """Whether they name a version of NFS."""
        return any(_VERSION.fullmatch(word) for word in self.words)

    @property
    def is_version_4(self) -> bool:
        """Whether they name a version of NFS that has one port, and needs no portmapper."""
        return any(re.fullmatch(r'(?:(?:nfs)?vers=|v)4.*', word) for word in self.words)

    @property
    def is_read_only(self) -> bool:
        """Whether they ask for a mount that nothing can be written through."""
        return [word for word in ('rw', *self.words) if word in ('ro', 'rw')][-1] == 'ro'

    def value(self, *options: str) -> str | None:
        """The value of an option that may have several names; ``None`` if it is not there."""
        found = [word.partition('=') for word in self.words]
        values = [value for name, _, value in found if name in options]
        return values[-1] if values else None

    def with_default(self, option: str) -> Options:
        """The same with an option, unless they have it with another value."""
        if self.value(option.partition('=')[0]) is not None:
            return self
        return dataclasses.replace(self, words=(*self.words, option))

    def with_version(self, *version: str) -> Options:
        """The same with another version of NFS."""
        kept = [
            word
            for word in self.words
            if not _VERSION.fullmatch(word) and not word.startswith('minorversion')
        ]
        return dataclasses.replace(self, words=(*kept, *version))


def parse(kind: str, text: str | None, flags: Sequence[str]) -> Options:
    """Read the options of a text that is configured, and flags of ``mount`` of a caller.

    :param kind: of file system.
    :param text: options with commas between them.
    :param flags: words of a command line: ``['-o', 'vers=3,ro']``.
    :raises ValueError: naming what is not an option, or one that is refused; never a secret.
    """
    options = [option for part in (text or '', *_of_flags(flags)) for option in _split(part)]
    for option in options:
        require(option)
    if kind == 'cifs':
        return _with_credentials(options)
    for option in options:
        if option.partition('=')[0].lower() in _SECRET:
            raise ValueError(f'{_shown(option)} is not a mount option of {kind}')
    return Options(tuple(options))


def require(option: object) -> str:
    """An option if it is one that a share may be mounted with.

    :raises ValueError: saying what is wrong with it.
    """
    text = names.require_text(option)
    found = _WELL_FORMED.fullmatch(text)
    if found is None or len(text.encode()) > _LONGEST:
        raise ValueError(f'{_shown(text)} is not a valid mount option')
    name, value = found['name'].lower(), _unquoted(found['value'] or '')
    if name in _REFUSED or name.startswith(_REFUSED_PREFIXES):
        raise ValueError(f'the mount option {name} is not one that a share may be mounted with')
    if value.startswith('/') and not _is_allowed_path(name, value):
        raise ValueError(f'the mount option {name} names a path of this host, which is not allowed')
    return text


def require_all(options: object) -> tuple[str, ...]:
    """The options if each of them is one.

    :raises ValueError: saying what is wrong.
    """
    return tuple(require(option) for option in _few(options, 'mount options'))


def _few(words: object, what: str) -> tuple[object, ...]:
    if not isinstance(words, (list, tuple)):
        raise ValueError(f'expected a list of {what}, got {type(words).__name__}')
    if len(words) > _MOST:
        raise ValueError(f'{len(words)} {what} are more than {_MOST}')
    return tuple(words)


def _is_allowed_path(name: str, value: str) -> bool:
    place = _PATHS.get(name)
    return place is not None and value.startswith(place) and '..' not in value.split('/')


def _shown(option: str) -> str:
    """An option for an error: its name alone, as its value may be a secret."""
    return names.shown(option.partition('=')[0])


def _split(text: str) -> list[str]:
    found: list[str] = _OPTION.findall(text)
    if text.count('"') % 2:
        raise ValueError('a quote in the mount options has no end')
    return [option for option in found if option.strip()]


def _of_flags(flags: Sequence[str]) -> Iterator[str]:
    """The texts of options that flags hold."""
    todo = list(flags)
    while todo:
        word = names.require_text(todo.pop(0))
        if word in ('-o', '--options'):
            if not todo:
                raise ValueError(f'the mount flag {word} is without options')
            yield names.require_text(todo.pop(0))
        elif word.startswith('--options='):
            yield word.partition('=')[2]
        elif word.startswith('-o'):
            yield word[2:]
        elif word in _FLAGS:
            yield _FLAGS[word]
        elif word not in _WITHOUT_EFFECT:
            raise ValueError(
                f'{_shown(word)} is not a valid mount flag; options follow "-o": "-o vers=4.2"'
            )


def _with_credentials(options: list[str]) -> Options:
    """The options of CIFS, with name and password apart if there is a password."""
    parts = [option.partition('=') for option in options]
    pairs = [(name.lower(), value) for name, _, value in parts]
    if not any(_is_secret(name, value) for name, value in pairs):
        return Options(tuple(options))
    shown = [
        option for option, (name, _) in zip(options, pairs, strict=True) if name not in _CREDENTIALS
    ]
    known = [(_CREDENTIALS[name], value) for name, value in pairs if name in _CREDENTIALS]
    return Options(tuple(shown), tuple(f'{name}={_unquoted(value)}' for name, value in known))


def _is_secret(name: str, value: str) -> bool:
    # mount.cifs(8): "user%password" is still understood.
    is_both = _CREDENTIALS.get(name) == 'username' and '%' in value
    return is_both or (name in _SECRET and bool(value))


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value


# pstorage-mount(1): single letters with or without a value, or words. The cluster is ours to name.
_PSTORAGE_FLAG = re.compile(r'-[A-Zabd-z]|--(?!cluster)[a-z][a-z-]*(?:=[^\0-\x1f\x7f]*)?')
_PSTORAGE_VALUE = re.compile(r'[^\0-\x1f\x7f-][^\0-\x1f\x7f]*')


def require_pstorage(words: object) -> tuple[str, ...]:
    """The words if they are flags of ``pstorage-mount``, each with at most one value.

    :raises ValueError: naming a word that is not one.
    """
    found = tuple(names.require_text(word) for word in _few(words, 'flags'))
    after_flag = False
    for word in found:
        is_flag = bool(_PSTORAGE_FLAG.fullmatch(word))
        if not is_flag and not (after_flag and _PSTORAGE_VALUE.fullmatch(word)):
            raise ValueError(f'{names.shown(word)} is not a valid flag of pstorage-mount')
        after_flag = is_flag
    return found
