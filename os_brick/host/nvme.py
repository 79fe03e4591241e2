# SPDX-License-Identifier: Apache-2.0
"""NVMe controllers over fabrics, and the namespaces behind them, as the kernel shows them.

With native multipath (``nvme_core.multipath=Y``) a namespace is one block device, its *head*
``nvme0n1``, over hidden *paths* ``nvme0c1n1``; without, each path is a block device itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
import contextlib
import dataclasses
import errno

from oslo_log import log as logging

from os_brick.core import facts, files, wait
from os_brick.host import block
from os_brick.model import fabrics, names, nvme_identify
from os_brick.privileged import nvme as root
from os_brick.privileged import nvme_namespace

LOG = logging.getLogger(__name__)

_CLASS = '/sys/class/nvme-fabrics/ctl'
_BLOCK = '/sys/class/block'
_SUBSYSTEMS = '/sys/class/nvme-subsystem'

LIVE = 'live'
# What is being taken down, or dead: it never becomes live again.
GOING = frozenset({'deleting', 'deleting (no IO)', 'dead'})
# ANA states (NVM Express Base Specification 2.0, section 8.1) in which a path takes I/O.
USABLE = frozenset({'', 'optimized', 'non-optimized'})

IDENTIFY_SECONDS = nvme_namespace.ASK_SECONDS
_RESCAN_SECONDS = 10.0


def controllers(nqn: str | None = None) -> list[fabrics.Controller]:
    """The controllers over fabrics, of one subsystem or of all."""
    found = []
    for name, subsystem in sorted(_subsystems_of_controllers.all().items()):
        one = _controller(name, subsystem) if nqn in (None, subsystem) else None
        found += [one] if one is not None else []
    return found


def _subsystem_of(name: str) -> str | None:
    return _attribute(name, 'subsysnqn') if names.NVME_CONTROLLER.why_not(name) is None else None


# A controller never changes its subsystem (Linux, drivers/nvme/host/fabrics.c: it is an option of
# the connect).
_subsystems_of_controllers = facts.Facts(_CLASS, _subsystem_of)


def host_ids(wanted: str) -> dict[str, str]:
    """The IDs of the names by which this host has connected, read until ``wanted`` is among them.

    Linux takes one ID only under one name, so the first controller of that name tells its ID.
    """
    found: dict[str, str] = {}
    for name in files.names(_CLASS):
        if names.NVME_CONTROLLER.why_not(name) is None and wanted not in found:
            host, host_id = _attribute(name, 'hostnqn'), _attribute(name, 'hostid')
            found |= {host: host_id} if host and host_id else {}
    return found


def _attribute(controller: str, key: str) -> str:
    found = files.read_or(f'{_CLASS}/{controller}/{key}')
    return '' if found in root.UNKNOWN else found


def controller(name: str) -> fabrics.Controller | None:
    """The controller of a name; ``None`` if there is none that this library can use."""
    return _controller(name, _attribute(name, 'subsysnqn'))


def _controller(name: str, nqn: str) -> fabrics.Controller | None:
    # Kernels add keys as they like; words without "=" are none of ours.
    words = (word.strip().partition('=') for word in _attribute(name, 'address').split(','))
    place = {key: value for key, _, value in words}
    try:
        portal = fabrics.NvmePortal.parse(
            place.get('traddr', ''),
            place.get('trsvcid', ''),
            _attribute(name, 'transport'),
            place.get('host_traddr', ''),
            place.get('host_iface', ''),
        )
    except ValueError as error:
        LOG.debug('Controller %s is not one of ours: %s', name, error)
        return None
    return fabrics.Controller(
        name,
        nqn,
        portal,
        _attribute(name, 'cntlid'),
        _attribute(name, 'hostnqn'),
        _attribute(name, 'hostid'),
        bool(_attribute(name, 'tls_key')),
        number_of(name),
    )


def controllers_at(
    nqn: str, portals: Iterable[fabrics.NvmePortal], host_nqn: str | None
) -> list[fabrics.Controller]:
    """The controllers of a subsystem at these portals, connected by this host's name."""
    return [
        controller
        for controller in controllers(nqn)
        if any(portal.serves(controller.portal) for portal in portals)
        and (not host_nqn or controller.host_nqn in {'', host_nqn})
    ]


def state(controller: str) -> str:
    """The kernel's word on a controller; empty if it has gone."""
    return files.read_or(f'{_CLASS}/{controller}/state')


def is_there(controller: fabrics.Controller) -> bool:
    """Whether a controller is still there, and not another one under its name."""
    return files.inode(f'{_CLASS}/{controller.name}') == controller.number


def number_of(controller: str) -> int:
    """The kernel's number of a controller's directory: no other one has had it; 0 if it is gone.

    Inodes of sysfs are numbers of kernfs, which are given again only after 2**32 others, and with
    another generation then (fs/kernfs/dir.c, ``__kernfs_new_node``).
    """
    return files.inode(f'{_CLASS}/{controller}')


def paths(controller: str, head: str | None = None) -> list[fabrics.Path]:
    """The namespaces behind a controller: all, or the one with this block device."""
    found = []
    for name in files.names(f'{_CLASS}/{controller}'):
        # There are some thirty others, which a look at their first letters leaves out.
        if name[:4] != 'nvme' or not fabrics.is_path(name):
            continue
        if head in (None, fabrics.head_of(name)):
            place = f'{_CLASS}/{controller}/{name}'
            number = files.read_or(f'{place}/nsid')
            if number.isdecimal():
                found.append(fabrics.Path(name, controller, _cached(place, number)))
    return found


def _cached(directory: str, number: str) -> fabrics.NamespaceIdentity:
    def name(key: str, parse: Callable[[object], str | None]) -> str | None:
        text = files.read_or(f'{directory}/{key}')
        with contextlib.suppress(ValueError):
            return parse(text) if text else None
        return None

    nguid = name('nguid', fabrics.uuid)
    uuid = name('uuid', fabrics.uuid)
    return fabrics.NamespaceIdentity(
        # Where there is no UUID the kernel shows the NGUID in its place (uuid_show).
        uuid=uuid if uuid != nguid else None,
        nguid=nguid,
        eui64=name('eui', fabrics.eui64),
        nsid=int(number) or None,
    )


def paths_of(head: str) -> list[fabrics.Path]:
    """Every path to a namespace, through whatever controllers."""
    return [path for name in _controllers_of(head) for path in paths(name, head)]


def _controllers_of(head: str) -> list[str]:
    """The controllers that may have a path to a namespace.

    A head has the number of its subsystem, which links to its controllers; without native multipath
    it has that of its controller (Linux 4.15 and later, drivers/nvme/host/core.c,
    ``nvme_init_subsystem``; multipath.c, ``nvme_mpath_set_disk_name``).
    """
    number = fabrics.instance_of(head)
    linked = files.names(f'{_SUBSYSTEMS}/nvme-subsys{number}')
    found = [name for name in linked if names.NVME_CONTROLLER.why_not(name) is None]
    return list(dict.fromkeys([*found, f'nvme{number}']))


def why_unusable(path: fabrics.Path) -> str | None:
    """Why a path takes no I/O now, or ``None`` if it does."""
    now = state(path.controller)
    if now != LIVE:
        return f'controller {path.controller} is {now or "gone"}'
    ana = files.read_or(f'{_CLASS}/{path.controller}/{path.name}/ana_state')
    return None if ana in USABLE else f'path {path.name} is {ana}'


def size_bytes(path: fabrics.Path) -> int:
    """The size that the kernel has for a path's namespace; 0 where it does not take its format."""
    place = f'{_CLASS}/{path.controller}/{path.name}/size'
    return int(files.read_or(place, '0')) * block.SECTOR_BYTES


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """What a controller reports about a namespace.

    :ivar size_bytes: 0 where it reports no capacity, which is not the size of a volume.
    :ivar block_bytes: the size of its blocks.
    """

    identity: fabrics.NamespaceIdentity
    size_bytes: int
    block_bytes: int


def report(path: fabrics.Path, timeout: float = IDENTIFY_SECONDS) -> Report:
    """Identity and size of a namespace, asked of the controller now.

    :raises OperationTimedOut: if the controller does not answer.
    :raises OSError: ``ENXIO`` if there is no such namespace any more; if it cannot be asked.
    """
    nsid = path.identity.nsid or 0
    found = report_of((nsid, *nvme_namespace.identify(path.controller, nsid, timeout)))
    if found is None:
        raise OSError(errno.ENXIO, f'Namespace {nsid} is not active behind {path.controller}')
    return found


def read_and_report(path: fabrics.Path, timeout: float) -> tuple[int, Report | None]:
    """How many of the first 4096 bytes of a namespace can be read, and who it is after that.

    :return: ``None`` in the place of a report where the controller does not answer as wanted.
    :raises OperationTimedOut: if the device, or the controller, does not answer in time.
    :raises OSError: if the device cannot be read.
    """
    nsid = path.identity.nsid or 0
    asked = (path.head, path.controller, nsid)
    count, namespace, names = nvme_namespace.read_and_identify(*asked, timeout)
    return count, report_of((nsid, namespace, names))


def report_of(answer: nvme_namespace.Answer) -> Report | None:
    """What an answer of a controller says; ``None`` if it has no such namespace."""
    nsid, namespace, names = answer
    if not nvme_identify.is_active(namespace):
        return None
    return Report(
        nvme_identify.identity(nsid, namespace, names),
        nvme_identify.size_bytes(namespace),
        nvme_identify.block_bytes(namespace),
    )


def namespaces() -> list[tuple[str, str, fabrics.NamespaceIdentity]]:
    """Every namespace of this host, local ones too: block device, subsystem, identity."""
    return [
        (
            name,
            files.read_or(f'{_BLOCK}/{name}/device/subsysnqn'),
            _cached(f'{_BLOCK}/{name}', files.read_or(f'{_BLOCK}/{name}/nsid', '0')),
        )
        for name in files.names(_BLOCK)
        if fabrics.is_head(name)
    ]


def rescan(controller: str, deadline: wait.Deadline) -> None:
    """Have the kernel look at the namespaces of a controller; it does so in its own time.

    :raises OSError: if the controller has gone.
    """
    root.rescan(controller, deadline.limit(_RESCAN_SECONDS))
