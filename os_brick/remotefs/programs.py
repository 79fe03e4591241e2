# SPDX-License-Identifier: Apache-2.0
"""The programs that mount and unmount: run by our root functions, or by a callable of the caller.

A callable of the caller takes no time limit that is known to us, and what it has started cannot be
ended from here. So it runs in a thread, which the operation leaves behind at its deadline; the
thread keeps the share's lock, and unmounts what is mounted too late.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
import contextlib
import tempfile
import threading
from typing import Any, Protocol

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import atomic, fanout, glance, locks, wait
from os_brick.model import mount_options, shares
from os_brick.privileged import mount as root
from os_brick.request import remotefs as request

LOG = logging.getLogger(__name__)

_SOFS = ('sofs', '/etc/sfused.conf')
_CLUSTERS = '/etc/pstorage/clusters'
_TEMPORARY, _PREFIX = tempfile.gettempdir(), 'os-brick-credentials-'


class Programs(Protocol):
    """What mounts a share and ends a mount."""

    def mount(
        self,
        wanted: request.Mount,
        place: str,
        options: mount_options.Options,
        deadline: wait.Deadline,
    ) -> None:
        """Mount a share on a directory.

        :raises ProcessExecutionError: if the program fails.
        """

    def unmount(self, place: str, number: int, deadline: wait.Deadline) -> None:
        """End the mount of an ID, unless it is in use.

        :raises ProcessExecutionError: if it is in use.
        """


class Own:
    """Our root functions."""

    def mount(
        self,
        wanted: request.Mount,
        place: str,
        options: mount_options.Options,
        deadline: wait.Deadline,
    ) -> None:
        """Mount a share on a directory."""
        if wanted.virtuozzo is not None:
            self._mount_virtuozzo(wanted.virtuozzo, wanted.flags, place, deadline)
        elif wanted.kind.name == 'scality':
            root.mount_scality(place, deadline.limit())
        else:
            root.mount(
                *(wanted.kind.name, wanted.share, place, options.words, options.credentials),
                deadline.limit(),
            )

    @staticmethod
    def _mount_virtuozzo(
        cluster: shares.Virtuozzo, flags: tuple[str, ...], place: str, deadline: wait.Deadline
    ) -> None:
        if cluster.servers:
            root.set_virtuozzo_servers(cluster.cluster, cluster.servers)
        if cluster.password is not None:
            root.log_in_to_virtuozzo(cluster.cluster, cluster.password, deadline.limit())
        root.mount_virtuozzo(cluster.cluster, place, flags, deadline.limit())

    def unmount(self, place: str, number: int, deadline: wait.Deadline) -> None:
        """End the mount of an ID, unless it is in use."""
        root.unmount(place, number, deadline.limit())


class OfCaller:
    """The callable of a caller, which is given the programs of ``mount(8)`` and its kind.

    :param execute: called with the words of a command line, and ``process_input``.
    :param lock: the share's lock, which a program that hangs keeps.
    """

    def __init__(self, execute: Callable[..., Any], lock: locks.Hold) -> None:
        self._execute = execute
        self._lock = lock

    def mount(
        self,
        wanted: request.Mount,
        place: str,
        options: mount_options.Options,
        deadline: wait.Deadline,
    ) -> None:
        """Mount a share on a directory."""
        if wanted.virtuozzo is not None:
            self._mount_virtuozzo(wanted.virtuozzo, wanted.flags, place, deadline)
        elif wanted.kind.name == 'scality':
            self._mount(('mount', '-t', *_SOFS, place), place, deadline)
        else:
            with _credentials_file(options.credentials) as more:
                given = ','.join((*options.words, *more))
                words = ('-t', wanted.kind.name, *(('-o', given) if given else ()))
                self._mount(('mount', *words, wanted.share, place), place, deadline)

    def _mount(self, words: tuple[str, ...], place: str, deadline: wait.Deadline) -> None:
        self._within(deadline, words, lambda: self._execute('umount', '-i', '-c', place))

    def _mount_virtuozzo(
        self,
        cluster: shares.Virtuozzo,
        flags: tuple[str, ...],
        place: str,
        deadline: wait.Deadline,
    ) -> None:
        name = cluster.cluster
        if cluster.servers:
            self._set_servers(cluster, deadline)
        if cluster.password is not None:
            words = ('pstorage', '-c', name, 'auth-node', '-P')
            self._within(deadline, words, process_input=cluster.password)
        self._mount(('pstorage-mount', '-c', name, *flags, place), place, deadline)

    def _set_servers(self, cluster: shares.Virtuozzo, deadline: wait.Deadline) -> None:
        """Have a cluster's file of servers, made here and copied by root."""
        place = f'{_CLUSTERS}/{cluster.cluster}'
        data = ''.join(f'{server}\n' for server in cluster.servers).encode()
        with atomic.temporary(_TEMPORARY, 'vzstorage-', 'bs_list', data) as path:
            if glance.is_directory(place):
                words = ('cp', '-f', path, f'{place}/bs_list')
            else:
                words = ('cp', '-rf', path.rpartition('/')[0], place)
            self._within(deadline, words)
        self._within(deadline, ('chown', '-R', 'root:root', place))

    def unmount(self, place: str, number: int, deadline: wait.Deadline) -> None:
        """End a mount, unless it is in use."""
        self._within(deadline, ('umount', '-i', '-c', place))

    def _within(
        self,
        deadline: wait.Deadline,
        words: tuple[str, ...],
        if_late: Callable[[], object] = lambda: None,
        **keywords: Any,
    ) -> None:
        """Run a program, and leave it behind at the deadline.

        :param if_late: called in the thread if it succeeds after that.
        :raises OperationTimedOut: if it does not end in time.
        """
        is_late = threading.Event()

        def run(words: tuple[str, ...]) -> None:
            try:
                self._execute(*words, **keywords)
                if is_late.is_set():
                    LOG.warning('%s has ended after its deadline', words[0])
                    if_late()
            finally:
                self._lock.release()

        self._lock.share()
        fan: fanout.Fanout[tuple[str, ...], None] = fanout.Fanout(run)
        try:
            fan.start([words])
        except BaseException:
            self._lock.release()
            raise
        try:
            has_ended = fan.wait_for(lambda: not fan.pending, deadline)
        except BaseException:
            is_late.set()
            raise
        if not has_ended:
            is_late.set()
            raise exception.OperationTimedOut(
                what=f'{words[0]} to end', seconds=round(deadline.seconds, 1)
            )
        for error in fan.errors.values():
            raise error


@contextlib.contextmanager
def _credentials_file(lines: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The option for a file with these lines, which only this user and root can read."""
    if not lines:
        yield ()
        return
    data = ''.join(f'{line}\n' for line in lines).encode()
    # One of a process that was killed during a mount has a password in it.
    atomic.sweep(_TEMPORARY, _PREFIX)
    with atomic.temporary(_TEMPORARY, _PREFIX, 'credentials', data) as path:
        yield (f'credentials={path}',)
