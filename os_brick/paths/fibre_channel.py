# SPDX-License-Identifier: Apache-2.0
"""Paths to a Fibre Channel volume: a pair of ports each, and the disk behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
import dataclasses
from typing import Any

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import observe, undo, wait
from os_brick.host import block, fc, fc_paths, fc_platform, fc_zfcp, lun_state, scsi
from os_brick.host import disks as host_disks
from os_brick.paths import scsi_undo
from os_brick.paths.attempt import Attempt
from os_brick.plans import attach as plans_attach
from os_brick.plans import fibre_channel as plans
from os_brick.plans import paths as plans_paths
from os_brick.plans import verdicts
from os_brick.plans.attach import Verb
from os_brick.request import common
from os_brick.request import fibre_channel as request_fc

LOG = logging.getLogger(__name__)
Path = fc_paths.FcPath

# A disk may be read-only for a moment while its array hands it over.
_WRITABLE_SECONDS = 10.0
# A path has no answer before its LUN is known, which takes a busy array longer on one port.
GRACE_SECONDS = plans_paths.LONGEST_GRACE_SECONDS


class PortDown(verdicts.PathUnreachable, exception.NoFibreChannelVolumeDeviceFound):
    """One of a path's ports is down, so no array was asked for the volume."""


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """What an attach wants of each path.

    :ivar scans: how often to scan for the LUN within ``scan_seconds``.
    :ivar clean_up_seconds: what taking back may take after the deadline of the path.
    :ivar ready_seconds: how long a disk without capacity is waited for.
    :ivar until: by when the disks of paths that are opened side by side are to be there: one end
        for all, whenever their threads begin.
    :ivar added_by_scan: where a wide scan of this attach has added the volume's disks.
    """

    request: request_fc.FcRequest
    platform: fc_platform.FcPlatform
    scans: int
    scan_seconds: float
    clean_up_seconds: float
    until: wait.Deadline | None = None
    added_by_scan: frozenset[scsi.Address] = frozenset()
    ready_seconds: float = lun_state.CAPACITY_SECONDS


@dataclasses.dataclass(frozen=True, slots=True)
class OpenPath:
    """A path that is open, and its disk."""

    path: Path
    disks: tuple[host_disks.Disk, ...]


def paths_of(
    request: request_fc.FcRequest, platform: fc_platform.FcPlatform, seen: fc.Topology | None = None
) -> list[Path]:
    """Each pair of ports that leads to the volume, and has a number as a target, in any state.

    :param seen: what this host sees, if that was looked at just now.
    :raises InvalidParameterValue: if the machine has no such LUN.
    """
    seen = seen or fc.topology(request.port_names)
    return [
        Path(port, remote, common.parsed('target_lun', lun, platform.kernel_lun))
        for port, remote, lun in plans.port_pairs(seen.ports, seen.remotes, request)
        if remote.target_id is not None
    ]


def missing(request: request_fc.FcRequest) -> str:
    """What of a volume's ports this host sees, in words, for an error."""
    remotes = fc.remote_ports()
    texts = []
    for port in fc.ports():
        names = {target.wwpn for target in request.reached_from(port.wwpn)}
        if not names:
            texts.append(f'{port} has none of them in {" or ".join(request_fc.MAPS)}')
            continue
        seen = [str(each) for each in remotes if each.host == port.host and each.wwpn in names]
        texts.append(f'{port} is {port.state} and sees {", ".join(seen) or "none of them"}')
    return '; '.join(texts)


@dataclasses.dataclass(frozen=True, slots=True)
class Driver:
    """Opens Fibre Channel paths."""

    options: Options

    def reachable(self, path: Path, deadline: wait.Deadline, *, ask: bool) -> bool:
        """Have both ports of a path be online.

        :raises PortDown: if one is not.
        """
        if plans_attach.has(self.steps(path), Verb.CHECK_PORT):
            with observe.step(Verb.CHECK_PORT, path):
                why = self._why_down(path)
            if why is not None:
                raise PortDown(f'{path}: {why}')
        return False

    def steps(self, path: Path) -> tuple[plans_attach.Step, ...]:
        """What is to be done for a path, as it is now."""
        place = path.address
        is_known = scsi.is_known(place) and place not in self.options.added_by_scan
        found = plans_attach.FoundPort(path.is_usable, str(place), is_known)
        return plans_attach.fibre_channel_path(str(path), found, self._wanted)

    @property
    def _wanted(self) -> plans_attach.Wanted:
        return plans_attach.Wanted(self.options.request.expected_wwid or '')

    def plan(self, paths: Iterable[Path], *, is_multipath: bool) -> plans_attach.Attach:
        """What an attach is about to do, as far as it can be known now."""
        key, each = self.options.request.key, map(self.steps, paths)
        return plans_attach.attach(key, each, self._wanted, is_multipath=is_multipath)

    def open(self, path: Path, attempt: Attempt) -> OpenPath:
        """Bring the volume's disk on one path.

        :raises NoFibreChannelVolumeDeviceFound: if there is no disk.
        :raises VolumeIdentityMismatch: if it is another volume's.
        """
        attempt.begin()
        is_new = plans_attach.has(self.steps(path), Verb.SCAN)
        if is_new:
            self._remember(path, attempt)
        with observe.step(Verb.VERIFY, path):
            disk = self._find(path, attempt, is_new=is_new)
        if disk.is_new and not is_new:  # In the place of a stale one.
            self._remember(path, attempt)
        host_disks.require_expected(disk, self.options.request.expected_wwid)
        return OpenPath(path, (disk,))

    def _find(self, path: Path, attempt: Attempt, *, is_new: bool) -> host_disks.Disk:
        options, place, until = self.options, path.address, self._until(attempt)
        times = plans_paths.scan_times(options.scans, options.scan_seconds)

        def look() -> scsi.Scanned | None:
            attempt.begin()
            with observe.step(Verb.SCAN, path):
                found = options.platform.look(path, until)
            if scsi.is_known(place):
                attempt.respond()
            return found

        waiting = lun_state.Waiting(
            on_response=attempt.respond,
            on_stall=attempt.stall,
            check=attempt.check,
            ready_seconds=options.ready_seconds,
        )
        try:
            scans = host_disks.Scans(look, times)
            return host_disks.find(place, scans, until, is_new=is_new, waiting=waiting)
        except exception.PathNotReady:
            raise
        except exception.VolumeDeviceNotFound as error:
            raise self._not_found(path, error) from error

    def _until(self, attempt: Attempt) -> wait.Deadline:
        """By when the disk is to be there."""
        common_end = self.options.until
        if common_end is not None and not common_end.passed:
            return common_end
        return attempt.deadline.within(self.options.scan_seconds)

    def _remember(self, path: Path, attempt: Attempt) -> None:
        attempt.made.add(delete_disk, plain(path), self.options.clean_up_seconds)

    def _not_found(self, path: Path, error: Exception) -> exception.NoFibreChannelVolumeDeviceFound:
        why = self._why_down(path)
        if why is not None:  # Its port has gone meanwhile.
            return PortDown(f'{path}: {why}')
        return exception.NoFibreChannelVolumeDeviceFound(f'{path}: no disk appears ({error})')

    def _why_down(self, path: Path) -> str | None:
        """Why a path cannot be used now, or ``None`` if it can."""
        every = paths_of(self.options.request, self.options.platform)
        found = [each for each in every if each.address == path.address]
        if any(each.is_usable for each in found):
            return None
        if not found:
            return 'its port has gone'
        return f'{found[0].port} is {found[0].port.state}, port {found[0].remote}'

    def own_disks(
        self, opened: Sequence[OpenPath], exclude: Callable[[Path], None]
    ) -> list[host_disks.Disk]:
        """The disks of the open paths, which have to be one volume."""
        return [disk for one in opened for disk in one.disks]

    def prepare(self, disks: Sequence[host_disks.Disk], deadline: wait.Deadline) -> None:
        """Wait a while for disks that are read-only at first: a map over one would stay so."""
        if self.options.request.is_read_only:
            return

        def is_writable() -> bool:
            locked = [each.name for each in disks if block.is_read_only(each.name)]
            for disk in locked:
                scsi.rescan(disk, deadline)
            return not locked

        if not wait.holds(is_writable, deadline.within(_WRITABLE_SECONDS)):
            LOG.warning('The disks %s are read-only', ', '.join(each.name for each in disks))

    def summary(self, texts: list[str], errors: list[Exception]) -> Exception:
        """The error of an attach for which no path has opened."""
        what = f'No device of the volume ({self.options.request}): {"; ".join(texts)}'
        return exception.NoFibreChannelVolumeDeviceFound(what)


def plain(path: Path) -> dict[str, Any]:
    """A path as the arguments of a step have it."""
    return dict(undo.plain(path))


@undo.verb
def delete_disk(path: dict[str, Any], seconds: float) -> None:
    """Remove the disk that a scan on a path has added, and what else that has made.

    Nothing is removed that another port has at the address by now.
    """
    port, remote = fc.Port(**path['port']), fc.RemotePort(**path['remote'])
    gone = Path(port, remote, path['lun'])
    at = (remote.host, remote.channel, remote.target_id)
    there = {r.wwpn for r in fc.remote_ports() if (r.host, r.channel, r.target_id) == at}
    if there <= {remote.wwpn}:
        scsi_undo.delete_new_disk(gone.address, seconds)
    if fc_zfcp.device_of(port):
        fc_zfcp.forget(gone, wait.Deadline.after(seconds))
