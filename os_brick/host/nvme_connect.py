# SPDX-License-Identifier: Apache-2.0
"""Connecting to NVMe controllers over fabrics, and disconnecting from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
import dataclasses
import errno

from oslo_concurrency import processutils
from oslo_log import log as logging

from os_brick import exception
from os_brick.core import files, net, wait
from os_brick.host import nvme
from os_brick.model import fabrics, nvme_psk, settings
from os_brick.privileged import nvme as root

LOG = logging.getLogger(__name__)

_SUBSYSTEMS = '/sys/class/nvme-subsystem'
# Fibre Channel's controllers are made before they are connected, and the kernel takes down none
# that has never been (EBUSY): one that gets nowhere has to end by itself.
_FIRST_CONTACT_SECONDS = 20
# Why a connection over TLS fails whatever the key is.
_NOT_THE_KEY = frozenset({errno.EALREADY, errno.ECONNREFUSED, errno.EKEYREJECTED})
# The kernel's module has been loaded; udev makes its node.
_NODE_SECONDS = 5.0


def resolve(portal: fabrics.NvmePortal, deadline: wait.Deadline) -> list[fabrics.NvmePortal]:
    """The portals that a portal with a host name means; it itself if it has an address.

    :raises OSError: if the name does not resolve in time.
    """
    if portal.transport not in {fabrics.TCP, fabrics.RDMA} or portal.is_ip:
        return [portal]
    found = net.resolve(portal.address, deadline)
    return [dataclasses.replace(portal, address=address) for address in found]


def why_unreachable(portal: fabrics.NvmePortal, seconds: float = net.REACH_SECONDS) -> str | None:
    """Why no TCP connection to a portal comes about, or ``None`` if one does.

    Asked before the kernel is, which makes one connection at a time on the whole host and would
    have everyone wait for an unresponsive portal. Other transports answer ``None``.
    """
    if portal.transport != fabrics.TCP:
        return None
    address, port = portal.address, int(portal.port)
    return net.why_unreachable(address, port, seconds, source=portal.host_address)


def connect(
    nqn: str,
    portal: fabrics.NvmePortal,
    host: tuple[str, str] | None,
    options: settings.NVMe,
    deadline: wait.Deadline,
    tls: Sequence[nvme_psk.TlsKey] = (),
) -> fabrics.Controller:
    """Connect to a controller of a subsystem; return it.

    :param host: the name and the ID of this host; ``None`` leaves both to the kernel.
    :param options: what is configured, and what the caller has passed in its place.
    :param tls: the keys for TLS, of which the subsystem knows one; empty for no TLS.
    :raises FileExistsError: if the kernel has that connection already.
    :raises OperationTimedOut: if the target does not answer in time.
    :raises HostNotReady: if the kernel has no NVMe over fabrics.
    :raises OSError: what the kernel reports.
    """
    require_fabrics(deadline)
    if portal.transport == fabrics.FC:
        options = dataclasses.replace(options, ctrl_loss_tmo=_FIRST_CONTACT_SECONDS)
    words = _words(nqn, portal, host, options)
    try:
        name, cntlid, number = _connect(words, tls, deadline)
    except OSError as error:
        if error.errno == errno.EALREADY:
            raise FileExistsError(errno.EEXIST, str(error)) from error
        raise
    if not number:
        raise OSError(errno.ENODEV, f'Controller {name} has gone as soon as it was made')
    names = host or ('', '')
    return fabrics.Controller(
        *(name, nqn, portal, str(cntlid), *names),
        is_encrypted=bool(tls),
        number=number,
    )


def _words(
    nqn: str, portal: fabrics.NvmePortal, host: tuple[str, str] | None, options: settings.NVMe
) -> dict[str, str]:
    """The options of a connection by the kernel's names, without those that are left to it."""
    host_nqn, host_id = host or ('', '')
    configured = {name: getattr(options, name, None) for name in root.OPTIONS}
    found = {
        'nqn': nqn,
        'transport': portal.transport,
        'traddr': portal.address,
        'trsvcid': portal.port,
        'host_traddr': portal.host_address,
        'host_iface': portal.host_interface,
        'hostnqn': host_nqn,
        'hostid': host_id,
        **{name: str(value) for name, value in configured.items() if value is not None},
    }
    return {key: value for key, value in found.items() if value}


def _connect(
    options: dict[str, str],
    tls: Sequence[nvme_psk.TlsKey],
    deadline: wait.Deadline,
) -> tuple[str, int, int]:
    for key in tls[:-1]:
        try:
            return root.connect(options, deadline.limit(), (key.identity, key.value))
        except OSError as error:
            if error.errno in _NOT_THE_KEY:
                raise
            LOG.info('No connection by TLS key %s: %s', key.identity, error)
    last = (tls[-1].identity, tls[-1].value) if tls else None
    return root.connect(options, deadline.limit(), last)


def has_fabrics() -> bool:
    """Whether the kernel's module that connects is loaded."""
    return files.exists(root.FABRICS)


def require_fabrics(deadline: wait.Deadline) -> None:
    """Have the kernel's module that connects.

    :raises HostNotReady: if there is none.
    """
    if has_fabrics():
        return
    try:
        root.load_fabrics()
    except processutils.ProcessExecutionError as error:
        raise exception.HostNotReady(
            missing=f"the kernel's module nvme-fabrics (modprobe: {_reason(error)})",
            remedy='Install the package with the further modules of the running kernel (such as '
            'linux-modules-extra or kernel-modules), or run modprobe nvme-fabrics on the host if '
            'this is a container.',
        ) from error
    limit = deadline.within(_NODE_SECONDS)
    wait.until(lambda: files.exists(root.FABRICS) or None, limit, f'{root.FABRICS} to appear')


def _reason(error: processutils.ProcessExecutionError) -> str:
    return (error.stderr or error.description or str(error.exit_code)).strip().rpartition('\n')[2]


def delete(controller: fabrics.Controller, deadline: wait.Deadline) -> None:
    """Take a controller down, and wait until it has gone; another one of its name stays.

    :raises OperationTimedOut: if it does not go in time.
    :raises OSError: what the kernel reports.
    """
    try:
        root.delete(
            *(controller.name, controller.nqn, controller.id, controller.number),
            timeout=deadline.limit(),
        )
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno == errno.EBUSY and controller.id == root.UNCONNECTED:
            LOG.info('The %s never connected; the kernel will remove it', controller)
            return
        raise
    gone = f'the removal of {controller}'
    wait.until(lambda: not nvme.is_there(controller) or None, deadline, gone)


def set_ctrl_loss_tmo(controller: fabrics.Controller, seconds: int | None) -> None:
    """Have the kernel try so long to reach a controller when it is lost, now that it is live."""
    if controller.portal.transport != fabrics.FC or seconds is None:
        return
    try:
        root.set_loss_timeout(controller.name, seconds)
    except OSError as error:
        LOG.warning('The %s is given up after %d s: %s', controller, _FIRST_CONTACT_SECONDS, error)


def wait_live(
    made: fabrics.Controller, is_wanted: Callable[[], bool], deadline: wait.Deadline
) -> fabrics.Controller | None:
    """A controller that was just made, once it is live; ``None`` if it does not get there.

    Those of Fibre Channel are made first and connected then; only a live one has its ID. For the
    others a look that it is still the same is enough.

    :param is_wanted: whether it is still waited for.
    """

    def probe() -> fabrics.Controller | bool | None:
        now = nvme.state(made.name)
        if not now or now in nvme.GOING or not is_wanted():
            return False
        if now != nvme.LIVE:
            return None
        if made.id != root.UNCONNECTED:
            return made if nvme.is_there(made) else None
        found = nvme.controller(made.name)
        return found if found is not None and found.number == made.number else None

    answer = wait.poll(probe, deadline)
    return answer if isinstance(answer, fabrics.Controller) else None


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
