# SPDX-License-Identifier: Apache-2.0
"""Shares of remote file systems: what each kind's are called, and when two names mean one share."""

from __future__ import annotations

from collections.abc import Callable
import dataclasses
import hashlib
import re

from os_brick.model import addresses, names

_CONTROL = r'\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff'
_WITHOUT_UP = r'(?!(?:.*[/\\])?\.\.(?:[/\\]|\Z))'
_HOST = r'(?:\[[0-9A-Fa-f:.]+(?:%[\w.-]+)?\]|[A-Za-z0-9_][A-Za-z0-9_.-]*)'
# nfs-utils 2.6, NFS_MAXHOSTNAME and NFS_MAXPATHLEN; the longest of all.
_LONGEST = 256 + 1024


def _rule(kind: str, pattern: str, hint: str) -> names.Rule:
    compiled = re.compile(f'{_WITHOUT_UP}{pattern}', re.DOTALL)
    return names.Rule(f'share of {kind}', compiled, _LONGEST, hint)


_NFS = _rule(
    'NFS',
    rf'{_HOST}:/[^{_CONTROL}]*',
    'it has to be HOST:/PATH, an IPv6 address in brackets, without ".."',
)
_CIFS = _rule(
    'CIFS',
    rf'[/\\]{{2}}{_HOST}[/\\][^/\\{_CONTROL}][^{_CONTROL}]*',
    'it has to be //HOST/SHARE, without ".."',
)
_GLUSTERFS = _rule(
    'GlusterFS',
    rf'{_HOST}(?:,{_HOST})*:/?[\w.-][^{_CONTROL}]*',
    'it has to be HOST:/VOLUME, without ".."',
)
_QUOBYTE = _rule(
    'Quobyte',
    rf'[A-Za-z0-9_\[][^{_CONTROL}]*',
    'it has to be quobyte://REGISTRY/VOLUME, without ".."',
)
_SCALITY = _rule(
    'Scality', rf'[^/\\\s{_CONTROL}-][^{_CONTROL}]*', 'it has to be a path without ".."'
)

# The cluster of a share of Virtuozzo Storage, the servers of its metadata and a password.
_VZSTORAGE = re.compile(
    rf'(?:(?P<servers>{_HOST}(?::[0-9]+)?(?:,{_HOST}(?::[0-9]+)?)*):/)?'
    rf'(?P<cluster>[A-Za-z0-9_-]+)(?::(?P<password>[^\s{_CONTROL}]+))?'
)
CLUSTER = names.Rule(
    'name of a cluster',
    re.compile(r'[A-Za-z0-9_][A-Za-z0-9_-]*'),
    63,
    'letters, digits, "_" and "-"',
)
SERVER = names.Rule('address of a metadata server', re.compile(rf'{_HOST}(?::[0-9]{{1,5}})?'), 270)

# A place where one share is mounted: named by the digest of the share, or below such a place, where
# drivers of cinder mount shares that lie in others.
PLACE = names.Rule(
    'mount point',
    re.compile(
        rf'(?!.*/\.\.?(?:/|\Z))(?:/[^/{_CONTROL}]+)+/[0-9a-f]{{32}}(?:/[^/{_CONTROL}]+)*', re.DOTALL
    ),
    4095,
    'it has to be a directory below the mount base that is named by a digest',
)
_DIGEST = re.compile(r'[0-9a-f]{32}')
DIRECTORY = names.Rule(
    'directory',
    re.compile(rf'(?!.*/\.\.?(?:/|\Z))(?:/[^/{_CONTROL}]+)+', re.DOTALL),
    4095,
    'it has to be an absolute path without "." and ".."',
)
# Directories of the system itself.
_SYSTEM = frozenset(
    {*('bin', 'boot', 'dev', 'etc', 'lib', 'lib32', 'lib64', 'proc', 'sbin', 'sys', 'usr')}
)
# The name of a volume's file below the place where its share is mounted.
FILE = names.Rule(
    'name of a file of a share',
    re.compile(rf'(?!(?:.*/)?\.{{1,2}}(?:/|\Z))[^/{_CONTROL}]+(?:/[^/{_CONTROL}]+)*', re.DOTALL),
    4095,
    'it has to be a relative path without ".", ".." and empty parts',
)


def outside_system(value: object) -> str:
    """An absolute path outside the directories of the system itself, in which root mounts nothing.

    :raises ValueError: if it is in one of them.
    """
    path = names.require_text(value)
    if path.split('/')[1] in _SYSTEM:
        raise ValueError(f'{names.shown(path)} is not a place where a share may be mounted')
    return path


@dataclasses.dataclass(frozen=True, slots=True)
class Kind:
    """A kind of remote file system.

    :ivar name: the type that callers name, and ``mount -t``.
    :ivar prefix: what the names of its settings begin with.
    :ivar share: what its shares are called; ``None`` if that is in :func:`virtuozzo`.
    :ivar shown: the types that the kernel shows for it; empty if they are not known.
    :ivar canonical: one spelling of a share, for comparison; ``None`` if the kernel does not show
        which share is mounted.
    """

    name: str
    prefix: str
    share: names.Rule | None
    shown: frozenset[str] = frozenset()
    canonical: Callable[[str], str] | None = None

    def is_same(self, share: str, kind: str, source: str) -> bool:
        """Whether a mount of a type and source that the kernel shows is one of a share."""
        if self.canonical is None:
            return True
        return kind in self.shown and self.canonical(share) == self.canonical(source)


def _host(text: str) -> str:
    bare = text.removeprefix('[').removesuffix(']')
    return addresses.ip(bare) or bare.lower().removesuffix('.')


def _path(text: str) -> str:
    return '/' + '/'.join(part for part in text.split('/') if part)


def _nfs(share: str) -> str:
    # An IPv6 address has colons, and a path may have ":/" in it.
    host, _, path = share.partition(':/')
    if share.startswith('['):
        host, _, path = share.partition(']:/')
    return f'{_host(host)}:{_path(path)}'


def _cifs(share: str) -> str:
    host, _, path = share.replace('\\', '/').lstrip('/').partition('/')
    name, slash, rest = path.strip('/').partition('/')
    return f'//{_host(host)}/{name.lower()}{slash}{rest}'


def _glusterfs(share: str) -> str:
    """The volume alone: the host may be any of its servers, whichever the client has asked."""
    return share.rpartition(':')[2].strip('/')


KINDS = {
    kind.name: kind
    for kind in (
        Kind('nfs', 'nfs', _NFS, frozenset({'nfs', 'nfs4'}), _nfs),
        Kind('cifs', 'smbfs', _CIFS, frozenset({'cifs', 'smb3'}), _cifs),
        Kind('glusterfs', 'glusterfs', _GLUSTERFS, frozenset({'fuse.glusterfs'}), _glusterfs),
        Kind('quobyte', 'quobyte', _QUOBYTE),
        Kind('scality', 'scality', _SCALITY),
        Kind('vzstorage', 'vzstorage', None),
    )
}


def server_of(share: str) -> str:
    """The host of an NFS share, without brackets."""
    return _host(share.partition(']:/' if share.startswith('[') else ':/')[0])


def digest(share: str) -> str:
    """What a share's mount point is called; other releases and the services know it so."""
    return hashlib.md5(share.encode(), usedforsecurity=False).hexdigest()


def is_of_another(place: str, share: str) -> bool:
    """Whether a mount point is named by the digest of another share."""
    name = place.rpartition('/')[2]
    return bool(_DIGEST.fullmatch(name)) and name != digest(share)


@dataclasses.dataclass(frozen=True, slots=True)
class Virtuozzo:
    """A share of Virtuozzo Storage.

    :ivar servers: where its metadata are; empty if the host knows.
    """

    cluster: str
    servers: tuple[str, ...] = ()
    password: str | None = dataclasses.field(default=None, repr=False)


def virtuozzo(share: object) -> Virtuozzo:
    """Read ``[SERVER[,SERVER...]:/]CLUSTER[:PASSWORD]``.

    :raises ValueError: if it is something else; the text does not show it, as it may be a secret.
    """
    found = _VZSTORAGE.fullmatch(names.require_text(share))
    if found is None or CLUSTER.why_not(found['cluster']):
        raise ValueError('expected [SERVER[,SERVER...]:/]CLUSTER[:PASSWORD]')
    servers = found['servers']
    return Virtuozzo(
        found['cluster'], tuple(servers.split(',')) if servers else (), found['password']
    )
