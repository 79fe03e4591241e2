# SPDX-License-Identifier: Apache-2.0
"""What the operator has configured, as a value: read once an operation, then handed down."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class NVMe:
    """How NVMe controllers are connected; ``None`` leaves it to the kernel."""

    queue_size: int | None = None
    nr_io_queues: int | None = None
    ctrl_loss_tmo: int | None = None
    reconnect_delay: int | None = None
    fast_io_fail_tmo: int | None = None
    keep_alive_tmo: int | None = None
    io_policy: str | None = None
    dhchap_secret: str | None = dataclasses.field(default=None, repr=False)
    dhchap_ctrl_secret: str | None = dataclasses.field(default=None, repr=False)
    tls_psk: str | None = dataclasses.field(default=None, repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Luks:
    """When a volume without a LUKS header is given one.

    :ivar format: ``blank``: if it reads as zeros; ``unsigned``: if no probe knows what is on it.
    :ivar format_again: whether even one that this host has seen a header on.
    :ivar header_backup: whether headers are kept on this host.
    """

    format: str = 'blank'
    format_again: bool = False
    header_backup: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class DiscoveryClient:
    """Lightbits' discovery client on this host.

    :ivar address: where it tells of itself over HTTP.
    :ivar directory: where it looks for files.
    """

    address: str = 'localhost'
    port: int = 6060
    directory: str = '/etc/discovery-client/discovery.d'


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """The group ``[os_brick]``, but for the directory of the locks.

    :ivar operation_seconds: the time limit of one attach, detach or extend.
    :ivar scan_seconds: how long a volume may take to appear once it has been asked for.
    :ivar map_ready_seconds: how long a new multipath map may take until it takes I/O.
    :ivar state_path: the directory of what is noted of attached volumes.
    """

    operation_seconds: float = 120.0
    scan_seconds: float = 20.0
    map_ready_seconds: float = 14.0
    state_path: str = '/run/os-brick'
    nvme: NVMe = NVMe()
    luks: Luks = Luks()
    lightos: DiscoveryClient = DiscoveryClient()
