# SPDX-License-Identifier: Apache-2.0
"""The ways to one Fibre Channel volume: a pair of ports each, and the disk behind it."""

from __future__ import annotations

import dataclasses

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import undo as core_undo
from os_brick.core import wait
from os_brick.host import block, fc, fc_ways, scsi
from os_brick.host import disks as host_disks
from os_brick.paths import scsi as scsi_opening
from os_brick.plans import fibre_channel as plans
from os_brick.plans import paths as plans_ways
from os_brick.request import common
from os_brick.request import fibre_channel as props_fc

LOG = logging.getLogger(__name__)
Way = fc_ways.Way

# A disk may be read-only for a moment while its array hands it over.
_WRITABLE_SECONDS = 10.0


class Away(exception.NoFibreChannelVolumeDeviceFound):
    """One of a way's ports is down: nobody has been asked for the volume."""


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """What an attach wants of each way.

    :ivar scans: how often to scan for the LUN within ``scan_seconds``.
    :ivar clean_up_seconds: what taking back may take after the deadline of the way.
    """

    props: props_fc.Props
    machine: fc_ways.Machine
    scans: int
    scan_seconds: float
    clean_up_seconds: float


@dataclasses.dataclass(frozen=True, slots=True)
class Brought:
    """A way, and its disk."""

    way: Way
    legs: tuple[host_disks.Disk, ...]


def ways(
    props: props_fc.Props, machine: fc_ways.Machine, seen: fc.Sight | None = None
) -> list[Way]:
    """Each pair of ports that leads to the volume, and has a number as a target, in any state.

    :param seen: what this host sees, if that was looked at just now.
    :raises InvalidParameterValue: if the machine has no such LUN.
    """
    seen = seen or fc.sight()
    return [
        Way(port, remote, common.parsed('target_lun', lun, machine.kernel_lun))
        for port, remote, lun in plans.ways(seen.ports, seen.remotes, props)
        if remote.target_id is not None
    ]


def missing(props: props_fc.Props) -> str:
    """What of a volume's ports this host sees, in words, for an error."""
    remotes = fc.remote_ports()
    said = []
    for port in fc.ports():
        names = {target.wwpn for target in props.reached_from(port.wwpn)}
        if not names:
            said.append(f'{port} has none of them in {" or ".join(props_fc.MAPS)}')
            continue
        seen = [str(each) for each in remotes if each.host == port.host and each.wwpn in names]
        said.append(f'{port} is {port.state} and sees {", ".join(seen) or "none of them"}')
    return '; '.join(said)


def find_leg(
    request: Request, way: Way, answered: set[Way], until: wait.Deadline
) -> host_disks.Disk:
    """Bring the volume's disk on one way; what was made is taken back if it does not end well.

    :param answered: where the way is noted as soon as the array has answered for its LUN.
    :raises NoFibreChannelVolumeDeviceFound: if there is no disk.
    :raises VolumeIdentityMismatch: if it is another volume's.
    """
    place = way.address
    times = plans_ways.scan_times(request.scans, request.scan_seconds)
    is_new = not scsi.is_known(place)

    def look() -> None:
        request.machine.look(way, until)
        if scsi.is_known(place):
            answered.add(way)

    with core_undo.Undo() as undo:
        if is_new:
            undo.add(_take_back, request, way)
        try:
            leg = host_disks.find(
                *(place, look, times, until), is_new=is_new, on_response=lambda: answered.add(way)
            )
        except exception.PathNotReady:
            raise
        except exception.VolumeDeviceNotFound as error:
            raise _not_found(request, way, error) from error
        if leg.is_new and not is_new:  # In the place of a stale one.
            undo.add(_take_back, request, way)
        host_disks.require_expected(leg, request.props.expected_wwid)
        return leg


def _not_found(
    request: Request, way: Way, error: Exception
) -> exception.NoFibreChannelVolumeDeviceFound:
    why = _why_away(request, way)
    if why is not None:  # Its port has gone meanwhile.
        return Away(f'{way}: {why}')
    return exception.NoFibreChannelVolumeDeviceFound(f'{way}: no disk appears ({error})')


def _why_away(request: Request, way: Way) -> str | None:
    """Why a way cannot be used now, or ``None`` if it can."""
    found = [each for each in ways(request.props, request.machine) if each.address == way.address]
    if any(each.is_usable for each in found):
        return None
    return _states(found[0]) if found else 'its port has gone'


def _states(way: Way) -> str:
    return f'{way.port} is {way.port.state}, port {way.remote}'


def _take_back(request: Request, way: Way) -> None:
    """Remove the disk that a scan of ours has brought, and what else that has made."""
    scsi_opening.delete_disk_at(way.address, request.clean_up_seconds)
    request.machine.forget(way, wait.Deadline.after(request.clean_up_seconds))


class Opening(scsi_opening.Opening[Way, Brought]):
    """The scanning of ways to a volume for one attach.

    A way whose port is away is followed: it joins when its port is back.
    """

    # A way has no answer before its LUN is known, which takes a busy array longer on one port.
    least_silent = plans_ways.SILENT_SECONDS

    def __init__(self, request: Request, found: list[Way], deadline: wait.Deadline) -> None:
        super().__init__(request.props.key, found, deadline, request.clean_up_seconds)
        self._request = request
        # One end for all ways, whenever their threads begin.
        self._until = deadline.within(request.scan_seconds)

    def _open_way(self, way: Way, deadline: wait.Deadline, *, ask_first: bool) -> Brought:
        is_late = deadline is not self._deadline
        if is_late:
            self._before_late(way, deadline)
        elif not way.is_usable:
            raise Away(f'{way}: {_states(way)}')
        until = deadline.within(self._request.scan_seconds) if is_late else self._until
        return Brought(way, (find_leg(self._request, way, self._answered, until),))

    def prepare(self, legs: list[host_disks.Disk], deadline: wait.Deadline) -> None:
        """Wait a while for disks that are read-only at first: a map over one would stay so."""
        if self._request.props.is_read_only:
            return

        def is_writable() -> bool:
            locked = [leg.name for leg in legs if block.is_read_only(leg.name)]
            for disk in locked:
                scsi.rescan(disk, deadline)
            return not locked

        if not wait.holds(is_writable, deadline.within(_WRITABLE_SECONDS)):
            LOG.warning('The disks %s are read-only', ', '.join(leg.name for leg in legs))

    def _before_late(self, way: Way, deadline: wait.Deadline) -> None:
        why = _why_away(self._request, way)
        if why is not None:
            raise Away(f'{way}: {why}')

    def _take_back(self, brought: Brought, deadline: wait.Deadline) -> None:
        if brought.legs[0].is_new:
            _take_back(self._request, brought.way)

    def _is_silent(self, error: Exception) -> bool:
        return isinstance(error, Away)

    def _is_final(self, error: Exception) -> bool:
        # Another try would scan for as long as the volume is here. What the array maps later the
        # kernel finds when the port logs in anew.
        return not isinstance(error, (Away, exception.OperationTimedOut, exception.PathNotReady))

    def summary(self, texts: list[str], errors: list[Exception]) -> Exception:
        what = f'No device of the volume ({self._request.props}): {"; ".join(texts)}'
        return exception.NoFibreChannelVolumeDeviceFound(what)
