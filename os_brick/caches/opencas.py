# SPDX-License-Identifier: Apache-2.0
"""Open CAS: a volume becomes a core of a cache instance that the operator has started.

A core that this host had before may hold blocks that have changed on the volume since, and data
that was never written to it. So a core that is there already is never used for an attach, and
never removed, unless this host's note says that the attach which added it was interrupted: such a
core was handed to no caller.
"""

from collections.abc import Iterator
import contextlib
from typing import Any

from oslo_concurrency import processutils as putils
from oslo_log import log as logging

from os_brick import caches, exception, executor
from os_brick.core import files, locks, store, wait
from os_brick.model import opencas as model

LOG = logging.getLogger(__name__)

_BY_ID = '/dev/disk/by-id'
# casadm takes other paths than these only from ram, nullb, drbd and cas devices (since 20.3), and
# finds the device by it after a reboot. In the order of how long udev's name stays the volume's.
_STABLE = ('dm-uuid-', 'nvme-eui.', 'nvme-uuid.', 'wwn-', 'scsi-3')
_RUNNING = 'Running'
_LARGEST_CACHE = 16384

_LIST_SECONDS = 60
_ADD_SECONDS = 120
# Until what has been written to the cache only is on the volume.
_REMOVE_SECONDS = 600
_LOCK_SECONDS = 120

_NOTE = 'cache'


class OpenCASEngine(executor.Executor, caches.CacheEngineBase):
    """The cache instance ``opencas_cache_id``."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cache_id = kwargs.get('opencas_cache_id')

    def os_execute(self, *cmd: str, **kwargs: Any) -> tuple[str, str]:
        """Run a program and return its output and its errors.

        :raises oslo_concurrency.processutils.ProcessExecutionError: if it fails, after a log of it.
        """
        try:
            out, err = self._execute(*cmd, **kwargs)
        except putils.ProcessExecutionError as error:
            LOG.error('%s failed: %s', ' '.join(cmd), error)
            raise
        return out, err

    def is_engine_ready(self, **kwargs: Any) -> bool:
        """Whether the cache instance is running.

        :raises Invalid: if ``opencas_cache_id`` is not a number of one.
        """
        number = self._cache_number()
        cache = self._list().cache(number)
        return cache is not None and cache.status == _RUNNING

    def attach_volume(self, **kwargs: Any) -> str:
        """Add the device ``dev_path`` to the cache instance; return the cached device.

        :raises VolumePathsNotFound: if there is no such device.
        :raises BrickException: if it is a core already, or does not become one.
        :raises oslo_concurrency.processutils.ProcessExecutionError: if casadm fails.
        """
        device = _existing(kwargs.get('dev_path'))
        number = self._cache_number()
        with locks.hold(locks.CACHE, device, wait.Deadline.after(_LOCK_SECONDS)):
            self._clear(device)
            store.save(_NOTE, device, {'cache': number})
            with self._taken_back_on_error(device):
                added = self._added(device, number)
            store.save(_NOTE, device, None)
        return added.device

    def detach_volume(self, **kwargs: Any) -> str:
        """Remove the cached device ``dev_path``; return the device below.

        What was written to the cache only is written to the volume first.

        :raises VolumePathsNotFound: if there is no such device.
        :raises BrickException: if it is not a cached device.
        :raises oslo_concurrency.processutils.ProcessExecutionError: if casadm fails, as it does
            while the device is in use.
        """
        device = _existing(kwargs.get('dev_path'))
        core = self._list().core(lambda core: core.device == device)
        if core is None:
            raise exception.BrickException(f'{device} is not a cached device of Open CAS')
        self._remove(core)
        return core.disk

    def _added(self, device: str, number: int) -> model.Core:
        words = '-A', '-i', str(number), '-d', _stable_path(device)
        try:
            self._casadm(*words, timeout=_ADD_SECONDS)
        except exception.ExecutionTimeout:
            raise
        except putils.ProcessExecutionError as error:
            raise _NotAdded(error) from error
        core = self._core_of(device)
        if core is None or core.cache != number or not core.device:
            raise exception.BrickException(
                f'{device} has no cached device in cache instance {number} of Open CAS after '
                f'casadm added it: {core or "casadm lists no such core"}'
            )
        return core

    @contextlib.contextmanager
    def _taken_back_on_error(self, device: str) -> Iterator[None]:
        try:
            yield
        except _NotAdded as error:
            # A core may be another tool's.
            store.save(_NOTE, device, None)
            raise error.why from None
        except BaseException as error:
            self._take_back(device, error)
            raise

    def _take_back(self, device: str, error: BaseException) -> None:
        """Remove the core that a failing attach has added; the note stays if that fails, too."""
        try:
            core = self._core_of(device)
            if core is not None:
                self._remove(core)
            store.save(_NOTE, device, None)
        except Exception as second:
            LOG.exception('What an attach of %s has added to Open CAS stays', device)
            error.add_note(f'What was added to Open CAS stays until the next attach: {second}')

    def _clear(self, device: str) -> None:
        """Have the device be no core.

        :raises BrickException: if it is one that an attach has handed out, or another tool added.
        """
        core = self._core_of(device)
        if core is None:
            return
        note = store.load(_NOTE, device, this_boot=True)
        if note is None or note.get('cache') != core.cache:
            raise exception.BrickException(
                f'{device} is already core {core.number} of cache instance {core.cache} of Open '
                f'CAS ({core.status}, {core.device or "without a cached device"}), and what the '
                'cache holds of it may be older than the volume. If nothing uses it, remove it '
                f'with casadm -R -i {core.cache} -j {core.number}'
            )
        LOG.warning('Removing core %s, which an interrupted attach has left', core)
        self._remove(core)

    def _remove(self, core: model.Core) -> None:
        # Without -f, which drops what was written to the cache only.
        self._casadm(
            *('-R', '-i', str(core.cache), '-j', str(core.number)), timeout=_REMOVE_SECONDS
        )

    def _core_of(self, device: str) -> model.Core | None:
        return self._list().core(lambda core: files.realpath(core.disk) == device)

    def _list(self) -> model.Listing:
        """What casadm lists.

        :raises BrickException: if it cannot be read.
        """
        out = self._casadm('-L', '-o', 'csv', timeout=_LIST_SECONDS)
        try:
            return model.parse(out)
        except ValueError as error:
            raise exception.BrickException(str(error)) from error

    def _casadm(self, *words: str, timeout: float) -> str:
        out, _err = self.os_execute(
            *('casadm', *words),
            run_as_root=True,
            root_helper=self._root_helper,
            timeout=timeout,
        )
        return out

    def _cache_number(self) -> int:
        text = str(self.cache_id)
        if text.isascii() and text.isdecimal() and 1 <= int(text) <= _LARGEST_CACHE:
            return int(text)
        raise exception.Invalid(
            f'opencas_cache_id {self.cache_id!r} is not a number from 1 to {_LARGEST_CACHE}'
        )


class _NotAdded(Exception):
    """The casadm that was to add a device has failed, or was not started: it has added nothing.

    One that fails later, such as at a list, says nothing of that.
    """

    def __init__(self, why: putils.ProcessExecutionError) -> None:
        super().__init__()
        self.why = why


def _existing(path: object) -> str:
    """The node of a device that a path leads to.

    :raises VolumePathsNotFound: if it leads to none.
    """
    if isinstance(path, str) and path.startswith('/') and files.exists(path):
        return files.realpath(path)
    raise exception.VolumePathsNotFound


def _stable_path(device: str) -> str:
    """The name that udev keeps for a device; its node if it has none."""
    links = [f'{_BY_ID}/{name}' for name in files.names(_BY_ID) if not name.startswith('os-brick')]
    found = [link for link in links if files.realpath(link) == device]
    return min(found, key=_rank, default=device)


def _rank(link: str) -> tuple[int, str]:
    name = link.rpartition('/')[2]
    places = [place for place, start in enumerate(_STABLE) if name.startswith(start)]
    return (*places, len(_STABLE))[0], name
