# SPDX-License-Identifier: Apache-2.0
"""NVMe controllers over fabrics, and the namespaces behind them, as the kernel shows them.

With native multipath (``nvme_core.multipath=Y``) a namespace is one block device, its *head*
``nvme0n1``, over hidden *paths* ``nvme0c1n1``; without, each path is a block device itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
import contextlib
import dataclasses
import errno
import re
import socket

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import files, wait
from os_brick.host import block, tcp
from os_brick.model import fabrics, nvme_psk
from os_brick.privileged import nvme as root

LOG = logging.getLogger(__name__)

_CLASS = '/sys/class/nvme-fabrics/ctl'
_SUBSYSTEMS = '/sys/class/nvme-subsystem'
_CONTROLLER = re.compile(r'nvme\d+')
# nvme0c1n2: namespace 2 of subsystem 0 through controller 1; nvme0n2 without multipath.
_PATH = re.compile(r'(nvme\d+)(?:c\d+)?(n\d+)')
_SECTOR_BYTES = 512
# Bits 0 to 3 and 5 to 6 of FLBAS: which format is in use (NVM Command Set 1.0, figure 97).
_FORMATS_AT = 128

LIVE = 'live'
# On the way to being live; what is being taken down or dead is not.
COMING = frozenset({'new', 'resetting', 'connecting'})
GOING = frozenset({'deleting', 'deleting (no IO)', 'dead'})
# ANA states (NVM Express Base Specification 2.0, section 8.1) in which a path takes I/O.
USABLE = frozenset({'', 'optimized', 'non-optimized'})

# One command to a live controller; a healthy one needs a millisecond.
IDENTIFY_SECONDS = 10.0
# Fibre Channel's controllers are made before they are connected, and the kernel takes down none
# that has never been (EBUSY): one that gets nowhere has to end by itself.
_FIRST_CONTACT_SECONDS = 20
# Why a connection over TLS fails whatever the key is.
_NOT_THE_KEY = frozenset({errno.EALREADY, errno.ECONNREFUSED, errno.EKEYREJECTED})
# The kernel's module has been loaded; udev makes its node.
_NODE_SECONDS = 5.0
_RESCAN_SECONDS = 10.0


@dataclasses.dataclass(frozen=True, slots=True)
class Controller:
    """A controller over fabrics that the kernel has.

    :ivar name: the kernel's, such as ``nvme3``; it is used again for another one.
    :ivar id: its number at the subsystem, which tells it from another one of its name.
    :ivar host_nqn: by what name this host has connected; empty where the kernel does not tell.
    :ivar is_encrypted: whether the connection is one over TLS.
    """

    name: str
    nqn: str
    portal: fabrics.Portal
    id: str
    host_nqn: str = ''
    host_id: str = ''
    is_encrypted: bool = False

    def __str__(self) -> str:
        return f'controller {self.name} of {self.nqn} at {self.portal}'


@dataclasses.dataclass(frozen=True, slots=True)
class Path:
    """A namespace behind one controller.

    :ivar name: the kernel's, such as ``nvme0c1n2``.
    :ivar identity: who the kernel believes it to be.
    """

    name: str
    controller: str
    identity: fabrics.Identity

    @property
    def head(self) -> str:
        """The block device that users open, such as ``nvme0n2``."""
        return head_of(self.name)


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """How a connection is made; ``None`` leaves it to the kernel."""

    queue_size: int | None = None
    nr_io_queues: int | None = None
    ctrl_loss_tmo: int | None = None
    reconnect_delay: int | None = None
    fast_io_fail_tmo: int | None = None
    keep_alive_tmo: int | None = None
    dhchap_secret: str | None = dataclasses.field(default=None, repr=False)
    dhchap_ctrl_secret: str | None = dataclasses.field(default=None, repr=False)


def head_of(path: str) -> str:
    """The head of a path: ``nvme0n2`` of ``nvme0c1n2``; any other name is its own."""
    match = _PATH.fullmatch(path)
    return match[1] + match[2] if match else path


def is_head(name: str) -> bool:
    """Whether a name is that of a namespace's block device, such as ``nvme0n2``."""
    return _PATH.fullmatch(name) is not None and head_of(name) == name


def has_native_multipath() -> bool:
    """Whether the kernel puts the paths to a namespace under one block device."""
    return files.read_or('/sys/module/nvme_core/parameters/multipath') == 'Y'


def controllers(nqn: str | None = None) -> list[Controller]:
    """The controllers over fabrics, of one subsystem or of all."""
    found = []
    for name in files.names(_CLASS):
        if _CONTROLLER.fullmatch(name) and (
            nqn is None or files.read_or(f'{_CLASS}/{name}/subsysnqn') == nqn
        ):
            controller = _controller(name)
            if controller is not None:
                found.append(controller)
    return found


def _controller(name: str) -> Controller | None:
    def attribute(key: str) -> str:
        found = files.read_or(f'{_CLASS}/{name}/{key}')
        return '' if found in root.UNKNOWN else found

    # Kernels add keys as they like; words without "=" are none of ours.
    words = (word.strip().partition('=') for word in attribute('address').split(','))
    place = {key: value for key, _, value in words}
    try:
        portal = fabrics.Portal.parse(
            place.get('traddr', ''),
            place.get('trsvcid', ''),
            attribute('transport'),
            place.get('host_traddr', ''),
            place.get('host_iface', ''),
        )
    except ValueError as error:
        LOG.debug('Controller %s is none of ours: %s', name, error)
        return None
    return Controller(
        name,
        attribute('subsysnqn'),
        portal,
        attribute('cntlid'),
        attribute('hostnqn'),
        attribute('hostid'),
        bool(attribute('tls_key')),
    )


def state(controller: str) -> str:
    """The kernel's word on a controller; empty if it has gone."""
    return files.read_or(f'{_CLASS}/{controller}/state')


def is_there(controller: Controller) -> bool:
    """Whether a controller is still there, and not another one under its name."""
    nqn = files.read_or(f'{_CLASS}/{controller.name}/subsysnqn')
    number = files.read_or(f'{_CLASS}/{controller.name}/cntlid')
    is_new = nqn in root.UNKNOWN and controller.id == root.UNCONNECTED
    return number == controller.id and (is_new or nqn == controller.nqn)


def number_of(controller: Controller) -> int:
    """The kernel's number of a controller's directory: no other one has had it; 0 if it is gone."""
    return files.inode(f'{_CLASS}/{controller.name}')


def wait_live(
    made: Controller, is_wanted: Callable[[], bool], deadline: wait.Deadline
) -> Controller | None:
    """A controller that was just made, once it is live; ``None`` if it does not get there.

    Those of Fibre Channel are made first and connected then; only a live one has its ID. For the
    others a look that it is still the same is enough.

    :param is_wanted: whether anybody still waits for it.
    """

    def probe() -> Controller | bool | None:
        now = state(made.name)
        if not now or now in GOING or not is_wanted():
            return False
        if now != LIVE:
            return None
        if made.id != root.UNCONNECTED:
            return made if is_there(made) else None
        found = _controller(made.name)
        return found if found is not None and found.nqn == made.nqn else None

    answer = wait.poll(probe, deadline)
    return answer if isinstance(answer, Controller) else None


def paths(controller: str) -> list[Path]:
    """The namespaces behind a controller."""
    found = []
    for name in files.names(f'{_CLASS}/{controller}'):
        if _PATH.fullmatch(name):
            number = files.read_or(f'{_CLASS}/{controller}/{name}/nsid')
            if number.isdecimal():
                found.append(Path(name, controller, _cached(f'{_CLASS}/{controller}/{name}')))
    return found


def _cached(directory: str) -> fabrics.Identity:
    def name(key: str, parse: Callable[[object], str | None]) -> str | None:
        text = files.read_or(f'{directory}/{key}')
        with contextlib.suppress(ValueError):
            return parse(text) if text else None
        return None

    nguid = name('nguid', fabrics.uuid)
    uuid = name('uuid', fabrics.uuid)
    return fabrics.Identity(
        # Where there is no UUID the kernel shows the NGUID in its place (uuid_show).
        uuid=uuid if uuid != nguid else None,
        nguid=nguid,
        eui64=name('eui', fabrics.eui64),
        nsid=int(files.read_or(f'{directory}/nsid', '0')) or None,
    )


def paths_of(head: str) -> list[Path]:
    """Every path to a namespace, through whatever controllers."""
    return [
        path
        for name in files.names(_CLASS)
        if _CONTROLLER.fullmatch(name)
        for path in paths(name)
        if path.head == head
    ]


def why_unusable(path: Path) -> str | None:
    """Why a path takes no I/O now, or ``None`` if it does."""
    now = state(path.controller)
    if now != LIVE:
        return f'controller {path.controller} is {now or "gone"}'
    ana = files.read_or(f'{_CLASS}/{path.controller}/{path.name}/ana_state')
    return None if ana in USABLE else f'path {path.name} is {ana}'


def resolve(portal: fabrics.Portal) -> list[fabrics.Portal]:
    """The portals that a portal with a host name means; it itself if it has an address.

    :raises OSError: if the name is unknown.
    """
    if portal.transport not in {fabrics.TCP, fabrics.RDMA} or portal.is_ip:
        return [portal]
    found = socket.getaddrinfo(portal.address, None, type=socket.SOCK_STREAM)
    addresses = dict.fromkeys(str(entry[4][0]) for entry in found)
    return [dataclasses.replace(portal, address=address) for address in addresses]


def why_unreachable(portal: fabrics.Portal, seconds: float = tcp.REACH_SECONDS) -> str | None:
    """Why no TCP connection to a portal comes about, or ``None`` if one does.

    Asked before the kernel is, which makes one connection at a time on the whole host and would
    have everybody wait for a silent portal. Other transports answer ``None``.
    """
    if portal.transport != fabrics.TCP:
        return None
    address, port = portal.address, int(portal.port)
    return tcp.why_unreachable(address, port, seconds, source=portal.host_address)


def connect(
    nqn: str,
    portal: fabrics.Portal,
    host: tuple[str, str] | None,
    options: Options,
    deadline: wait.Deadline,
    tls: Sequence[nvme_psk.TlsKey] = (),
) -> Controller:
    """Connect to a controller of a subsystem.

    :param host: the name and the ID of this host; ``None`` leaves both to the kernel.
    :param tls: the keys for TLS, of which the subsystem knows one; empty for no TLS.
    :raises FileExistsError: if the kernel has that connection already.
    :raises OperationTimedOut: if the target does not answer in time.
    :raises OSError: what the kernel says.
    """
    _require_fabrics(deadline)
    if portal.transport == fabrics.FC:
        options = dataclasses.replace(options, ctrl_loss_tmo=_FIRST_CONTACT_SECONDS)
    text = {
        'nqn': nqn,
        'transport': portal.transport,
        'traddr': portal.address,
        'trsvcid': portal.port,
        'host_traddr': portal.host_address,
        'host_iface': portal.host_interface,
        **(dict(zip(('hostnqn', 'hostid'), host, strict=True)) if host else {}),
        **{
            field.name: str(value)
            for field in dataclasses.fields(options)
            if (value := getattr(options, field.name)) is not None
        },
    }
    try:
        name, number = _connect({k: v for k, v in text.items() if v}, tls, deadline)
    except OSError as error:
        if error.errno == errno.EALREADY:
            raise FileExistsError(errno.EEXIST, str(error)) from error
        raise
    return Controller(name, nqn, portal, str(number), *(host or ('', '')), is_encrypted=bool(tls))


def _connect(
    options: dict[str, str], tls: Sequence[nvme_psk.TlsKey], deadline: wait.Deadline
) -> tuple[str, int]:
    for key in tls[:-1]:
        try:
            return root.connect(options, deadline.limit(), (key.identity, key.value))
        except OSError as error:
            if error.errno in _NOT_THE_KEY:
                raise
            LOG.info('No connection by TLS key %s: %s', key.identity, error)
    last = (tls[-1].identity, tls[-1].value) if tls else None
    return root.connect(options, deadline.limit(), last)


def _require_fabrics(deadline: wait.Deadline) -> None:
    if files.exists(root.FABRICS):
        return
    root.load_fabrics()
    limit = deadline.within(_NODE_SECONDS)
    wait.until(lambda: files.exists(root.FABRICS) or None, limit, f'{root.FABRICS} to appear')


def delete(controller: Controller, deadline: wait.Deadline) -> None:
    """Take a controller down, and wait until it has gone; another one of its name stays.

    :raises OperationTimedOut: if it does not go in time.
    :raises OSError: what the kernel says.
    """
    try:
        root.delete(controller.name, controller.nqn, controller.id, deadline.limit())
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno == errno.EBUSY and controller.id == root.UNCONNECTED:
            LOG.info('The %s has never been connected, and ends by itself', controller)
            return
        raise
    gone = f'the removal of {controller}'
    wait.until(lambda: not is_there(controller) or None, deadline, gone)


def keep_for(controller: Controller, seconds: int | None) -> None:
    """Have the kernel try so long to reach a controller when it is lost, now that it is live."""
    if controller.portal.transport != fabrics.FC or seconds is None:
        return
    try:
        root.set_loss_timeout(controller.name, seconds)
    except OSError as error:
        LOG.warning('The %s is given up after %d s: %s', controller, _FIRST_CONTACT_SECONDS, error)


def rescan(controller: str, deadline: wait.Deadline) -> None:
    """Have the kernel look at the namespaces of a controller; it does so in its own time.

    :raises OSError: if the controller has gone.
    """
    root.rescan(controller, deadline.limit(_RESCAN_SECONDS))


def identity(path: Path, timeout: float = IDENTIFY_SECONDS) -> fabrics.Identity:
    """Who a namespace says it is, asked of the controller now.

    :raises OperationTimedOut: if the controller does not answer.
    :raises OSError: ``ENXIO`` if there is no such namespace any more; if it cannot be asked.
    """
    nsid = path.identity.nsid or 0
    namespace, listed = root.identify(path.controller, nsid, timeout)
    # NVM Command Set 1.0, figure 97. A namespace that is not active is all zeros.
    if not any(namespace):
        raise OSError(errno.ENXIO, f'Namespace {nsid} is not active behind {path.controller}')
    names = {1: namespace[120:128].hex(), 2: namespace[104:120].hex()} | _names(listed)
    return fabrics.Identity(
        uuid=fabrics.uuid(names[3]) if 3 in names else None,
        nguid=fabrics.uuid(names[2]),
        eui64=fabrics.eui64(names[1]),
        nsid=nsid,
    )


def _names(answer: bytes) -> dict[int, str]:
    """A list of names (figure 315): kind, length, two bytes of nothing, the name."""
    found: dict[int, str] = {}
    at = 0
    while at + 4 < len(answer) and answer[at + 1]:
        kind, length = answer[at], answer[at + 1]
        value = answer[at + 4 : at + 4 + length]
        if (kind, length) in {(1, 8), (2, 16), (3, 16)}:
            found[kind] = value.hex()
        at += 4 + length
    return found


def asked_size_bytes(path: Path, timeout: float = IDENTIFY_SECONDS) -> int:
    """How large a namespace is, asked of the controller now.

    :raises OperationTimedOut: if the controller does not answer.
    :raises OSError: if it cannot be asked.
    """
    nsid = path.identity.nsid or 0
    answer, _ = root.identify(path.controller, nsid, timeout)
    blocks = int.from_bytes(answer[0:8], 'little')
    number = answer[26] & 0x0F | (answer[26] & 0x60) >> 1
    # A format is 4 bytes: metadata size (2), data size as a power of two, performance.
    power = answer[_FORMATS_AT + 4 * number + 2]
    return blocks << power


def size_bytes(path: Path) -> int:
    """The size of a path's namespace that the kernel believes in."""
    text = files.read_or(f'{_CLASS}/{path.controller}/{path.name}/size', '0')
    return int(text) * _SECTOR_BYTES


def subsystem_of(nqn: str) -> str | None:
    """The kernel's name of a subsystem, such as ``nvme-subsys0``, or ``None``."""
    for name in files.names(_SUBSYSTEMS):
        if files.read_or(f'{_SUBSYSTEMS}/{name}/subsysnqn') == nqn:
            return name
    return None


def set_io_policy(nqn: str, policy: str) -> None:
    """Choose how the kernel spreads I/O over the paths to a subsystem's namespaces."""
    name = subsystem_of(nqn)
    if name is None or files.read_or(f'{_SUBSYSTEMS}/{name}/iopolicy', policy) == policy:
        return
    try:
        root.set_io_policy(name, policy)
    except OSError as error:
        LOG.warning('Subsystem %s keeps its I/O policy: %s', nqn, error)


def wait_readable(path: Path, deadline: wait.Deadline) -> None:
    """Wait until a namespace takes I/O through this or another path, and can be read.

    :raises VolumeDeviceNotFound: if it does not in time, saying why.
    """
    why, head = '', path.head

    def is_ready() -> bool:
        nonlocal why
        reasons = [why_unusable(each) for each in paths_of(head)]
        if not reasons or all(reasons):
            why = '; '.join(filter(None, reasons)) or 'it has no path'
            return False
        if not block.size_bytes(head) or not files.exists(f'/dev/{head}'):
            why = 'it has no size or no node in /dev yet'
            return False
        error = block.why_unreadable(head, deadline.limit(block.READ_SECONDS))
        why = str(error)
        return error is None

    if not wait.holds(is_ready, deadline):
        raise exception.VolumeDeviceNotFound(
            f'Namespace /dev/{head} ({path.identity}) takes no I/O: {why}'
        )


def local_fc_ports() -> list[str]:
    """This host's Fibre Channel ports that are online, as ``nn-0x...:pn-0x...``."""
    base = '/sys/class/fc_host'
    found = []
    for name in files.names(base):
        if files.read_or(f'{base}/{name}/port_state') == 'Online':
            node = files.read_or(f'{base}/{name}/node_name')
            port = files.read_or(f'{base}/{name}/port_name')
            found.append(f'nn-{node}:pn-{port}')
    return found
