# SPDX-License-Identifier: Apache-2.0
"""LVM's tools, run through a callable until a deadline: questions, changes, waits.

The callable is that of the caller, or the library's own. Each command is one program, ended at what
is left of the deadline, so a physical volume that does not answer holds nothing up for longer.
"""

from __future__ import annotations

from collections.abc import Callable
import contextlib
import dataclasses
from typing import Any

from oslo_concurrency import processutils
from oslo_log import log as logging

from os_brick import exception
from os_brick.core import bound, process, wait
from os_brick.model import lvm as model
from os_brick.model import names
from os_brick.plans import lvm as plans

LOG = logging.getLogger(__name__)

# LVM has crashed when another process changed the same group: https://bugs.launchpad.net/bugs/1901783
TRIES = 3
# For deactivation: LVM's own waits for udev, and what has a device open for a moment.
_DEACTIVATION_SECONDS = 15
_SETTLE_SECONDS = 10
# What is kept to activate a volume again that could not be grown.
_CLEAN_UP_SHARE = 0.15
# A program is killed by two signals, each given a moment, before the deadline.
_KILL_SECONDS = 2 * process.TERM_GRACE_SECONDS

Failure = plans.Failure


@dataclasses.dataclass(frozen=True, slots=True)
class Tools:
    """LVM's tools for one operation.

    :ivar execute: runs a program with the keywords of ``rootwrap.execute``.
    :ivar root_helper: handed to it.
    :ivar prefix: what each command line of LVM begins with.
    :ivar deadline: when the last program ends.
    """

    execute: Callable[..., Any]
    root_helper: str | None
    prefix: tuple[str, ...]
    deadline: wait.Deadline

    # Questions.

    def volumes(self, vg: str | None = None, lv: str | None = None) -> list[model.Volume]:
        """The logical volumes of this host, of a group, or one; none if it is not there.

        :raises ProcessExecutionError: if the group cannot be read.
        """
        try:
            return model.volumes(self._report('lv', plans.list_volumes(*_place(vg, lv)), vg, lv))
        except (exception.VolumeGroupNotFound, exception.VolumeDeviceNotFound):
            return []

    def groups(self, vg: str | None = None) -> list[model.Group]:
        """The volume groups of this host, or one.

        :raises VolumeGroupNotFound: if that one is not there.
        """
        return model.groups(self._report('vg', plans.list_groups(*_place(vg)), vg))

    def physical_volumes(self) -> list[model.PhysicalVolume]:
        """The physical volumes of this host."""
        return model.physical_volumes(self._report('pv', plans.list_physical_volumes()))

    def devices(self, vg: str | None) -> list[dict[str, Any]]:
        """The physical volumes of a group, or of this host, as callers know them."""
        found = self.physical_volumes()
        return [each.as_dict() for each in found if vg is None or each.vg == vg]

    def states(self, vg: str) -> list[model.Volume]:
        """The logical volumes of a group as the kernel has them.

        :raises VolumeGroupNotFound: if the group is not there.
        """
        return model.volumes(self._report('lv', plans.state(vg), vg))

    def state(self, vg: str, lv: str) -> model.Volume:
        """A logical volume as the kernel has it.

        :raises VolumeDeviceNotFound: if it is not there.
        """
        return self._one(plans.state(f'{vg}/{lv}'), vg, lv)

    def volume(self, vg: str, lv: str) -> model.Volume:
        """A logical volume as it is on disk.

        :raises VolumeDeviceNotFound: if it is not there.
        """
        return self._one(plans.one_volume(vg, lv), vg, lv)

    def has(self, vg: str, lv: str) -> bool:
        """Whether a group has a logical volume of that name."""
        return any(volume.name == lv for volume in self.volumes(vg, lv))

    def version(self) -> tuple[int, int, int]:
        """The release of LVM.

        :raises BrickException: if it does not report one.
        """
        found = model.parse_version(self.run(plans.version()))
        if found is None:
            raise exception.BrickException('LVM does not report its version.')
        return found

    def _one(self, words: plans.Words, vg: str, lv: str) -> model.Volume:
        for found in model.volumes(self._report('lv', words, vg, lv)):
            if (found.vg, found.name) == (vg, lv):
                return found
        raise exception.VolumeDeviceNotFound(device=f'{vg}/{lv}')

    def _report(
        self, kind: str, words: plans.Words, vg: str | None = None, lv: str | None = None
    ) -> model.Report:
        text = self.run(words, vg, lv, tries=TRIES)
        try:
            report = model.parse_report(kind, text)
        except ValueError as error:
            shown = ' '.join((*self.prefix, *words))
            raise processutils.ProcessExecutionError(
                stdout=text, exit_code=0, cmd=shown, description=str(error)
            ) from None
        for message in report.messages:
            LOG.debug('%s: %s', words[0], message)
        return report

    # Changes.

    def remove(self, vg: str, lv: str) -> None:
        """Remove a logical volume, and no other one.

        :raises VolumeInUse: if snapshots, or volumes of a pool, would go with it.
        :raises VolumeDeviceNotFound: if it is not there.
        :raises ProcessExecutionError: if it is in use.
        """
        if names.LV_PART.fullmatch(lv):
            # Removing the pool of a cache, say, would end the cache of another volume.
            self.volume(vg, lv)
        try:
            self._remove(plans.remove(vg, lv), vg, lv)
        except processutils.ProcessExecutionError as error:
            if _meaning(error) is Failure.FINAL:
                raise
            LOG.debug('Trying again: %s', error)
            self._remove_again(vg, lv)

    def _remove_again(self, vg: str, lv: str) -> None:
        """Remove the volume that could not be removed; one that has its name by now stays."""
        with contextlib.suppress(exception.VolumeDeviceNotFound):
            found = self.volume(vg, lv)
            words = plans.remove_again(vg, found)
            # LVM itself has tried for five seconds (retry_deactivation) and does so again.
            self._settle()
            self._remove(words, vg, lv, found.uuid)

    def _remove(self, words: plans.Words, vg: str, lv: str, uuid: str | None = None) -> None:
        if 'successfully removed' in self.run(words, vg, lv):
            return
        # LVM is told to say little, or has left the volume out: because of others that depend on
        # it, or because it is another one by now.
        with contextlib.suppress(exception.VolumeDeviceNotFound):
            found = self.volume(vg, lv)
            if uuid in (None, found.uuid):
                what = 'its snapshots' if found.is_origin else 'the volumes in it'
                raise exception.VolumeInUse(device=f'{vg}/{lv}', holder=what)

    def snapshot(self, vg: str, name: str, source: model.Volume, *, thin: bool) -> None:
        """Make a snapshot."""
        words = plans.create_snapshot(vg, name, source, thin=thin)
        self._settling(lambda: self.run(words, vg, source.name))

    def _settling(self, act: Callable[[], object]) -> None:
        """Try again what may fail because udev has a device open: after udev is done with it."""
        for left in reversed(range(TRIES)):
            try:
                act()
                return
            except processutils.ProcessExecutionError as error:
                if not left or _meaning(error) is Failure.FINAL:
                    raise
                LOG.debug('Trying again: %s', error)
            self._settle()

    def _settle(self) -> None:
        seconds = max(1, int(min(_SETTLE_SECONDS, self.deadline.remaining / 2)))
        try:
            self._once(plans.settle(seconds), self._limit('udev'), prefix=())
        except processutils.ProcessExecutionError as error:
            LOG.debug('udev has not handled all events: %s', error)

    def activate(self, vg: str, lv: str, *, permanent: bool) -> None:
        """Activate a logical volume.

        :param permanent: whether it is activated with all others from now on.
        :raises VolumeDeviceNotFound: if it is not active afterwards.
        """
        if permanent:
            self.run(plans.no_longer_skip(vg, lv), vg, lv)
        self.run(plans.activate(vg, lv), vg, lv)
        if self.state(vg, lv).is_inactive:
            # https://man7.org/linux/man-pages/man5/lvm.conf.5.html: activation/volume_list.
            LOG.error('LVM does not activate %s/%s: see volume_list in lvm.conf', vg, lv)
            raise exception.VolumeDeviceNotFound(device=f'/dev/{vg}/{lv}')

    def deactivate(self, vg: str, lv: str) -> None:
        """Deactivate a logical volume, and wait until the kernel has no device of it.

        :raises VolumeNotDeactivated: if it still has one.
        """
        self.run(plans.deactivate(vg, lv), vg, lv)
        deadline = self.deadline.within(_DEACTIVATION_SECONDS)
        if not wait.holds(lambda: self.state(vg, lv).is_inactive, deadline):
            raise exception.VolumeNotDeactivated(name=lv)

    def extend(self, vg: str, lv: str, size: model.Size) -> None:
        """Grow a logical volume; one with snapshots is inactive meanwhile.

        :raises ProcessExecutionError: if it is in use, has snapshots, and is to be inactive.
        """
        state = self.state(vg, lv)
        if not (state.is_origin and not state.is_inactive):
            self._grow(vg, lv, size)
            return
        work = dataclasses.replace(self, deadline=self.deadline.leaving(_CLEAN_UP_SHARE))
        try:
            work.deactivate(vg, lv)
            work._grow(vg, lv, size)
        finally:
            self.activate(vg, lv, permanent=False)

    def _grow(self, vg: str, lv: str, size: model.Size) -> None:
        try:
            self.run(plans.extend(vg, lv, size), vg, lv)
        except processutils.ProcessExecutionError as error:
            if _meaning(error) is not Failure.SAME_SIZE:
                raise
            LOG.debug('Logical volume %s/%s has that size', vg, lv)

    # Programs.

    def run(
        self, words: plans.Words, vg: str | None = None, lv: str | None = None, tries: int = 1
    ) -> str:
        """Run one of LVM's tools; what it wrote to its standard output.

        :param vg: the group that it is about, for the error.
        :param lv: the logical volume that it is about, for the error.
        :param tries: how often it is run as long as it crashes.
        :raises VolumeGroupNotFound: if there is no such group.
        :raises VolumeDeviceNotFound: if there is no such logical volume.
        :raises OperationTimedOut: if it was ended at the deadline.
        :raises ProcessExecutionError: if it fails otherwise.
        """
        what = f'{words[0]} of {_named(vg, lv)}'
        for left in reversed(range(tries)):
            try:
                return self._once(words, self._limit(what), self.prefix)
            except (exception.ExecutionTimeout, exception.OperationTimedOut) as error:
                raise self._timed_out(what) from error
            except processutils.ProcessExecutionError as error:
                self._raise_if_known(error, vg, lv)
                if not left or _meaning(error) is not Failure.CRASH:
                    raise
                LOG.warning('%s has crashed and is run again', what)
            except Exception as error:
                # What oslo.concurrency's `execute` raises, of a module that only core/process uses.
                if type(error).__name__ != 'TimeoutExpired':
                    raise
                raise self._timed_out(what) from error
        raise AssertionError('tries has to be at least 1')

    def _once(self, words: plans.Words, seconds: float, prefix: tuple[str, ...]) -> str:
        with bound.until(self.deadline.at):
            result = self.execute(
                *prefix, *words, root_helper=self.root_helper, run_as_root=True, timeout=seconds
            )
        return str(result[0] or '') if result else ''

    def _limit(self, what: str) -> float:
        """How long a program may take: nothing is begun that has no time.

        :raises OperationTimedOut: if the deadline has passed.
        """
        left = self.deadline.remaining
        if left <= 0:
            raise self._timed_out(what)
        return max(left / 2, left - _KILL_SECONDS)

    def _timed_out(self, what: str) -> exception.OperationTimedOut:
        return exception.OperationTimedOut(what=what, seconds=round(self.deadline.seconds, 1))

    def _raise_if_known(
        self, error: processutils.ProcessExecutionError, vg: str | None, lv: str | None
    ) -> None:
        """Raise our error of that kind; else put LVM's reasons where they are shown."""
        found = _meaning(error)
        if found is Failure.NO_GROUP and vg:
            raise exception.VolumeGroupNotFound(vg_name=vg) from error
        if found is Failure.NO_VOLUME and vg and lv:
            raise exception.VolumeDeviceNotFound(device=f'{vg}/{lv}') from error
        if not (error.stderr or '').strip():
            error.stderr = '\n'.join(_logged(error))


def _meaning(error: processutils.ProcessExecutionError) -> Failure:
    return plans.meaning(error.exit_code, '\n'.join((error.stderr or '', *_logged(error))))


def _logged(error: processutils.ProcessExecutionError) -> list[str]:
    """What LVM 2.03.31 says in a report instead of on standard error; any other output as it is."""
    text = error.stdout or ''
    try:
        return list(model.parse_report('', text).messages)
    except ValueError:
        return text.splitlines()


def _place(*names: str | None) -> tuple[str, ...]:
    """A group, a volume of it, or nothing; a volume without a group is nothing."""
    found = []
    for name in names:
        if not name:
            break
        found.append(name)
    return ('/'.join(found),) if found else ()


def _named(vg: str | None, lv: str | None) -> str:
    if not vg:
        return 'this host'
    return f'logical volume {vg}/{lv}' if lv else f'volume group {vg}'
