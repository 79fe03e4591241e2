# SPDX-License-Identifier: Apache-2.0
"""Configuration of the group ``[os_brick]``."""

import dataclasses
import os

from oslo_config import cfg, types

from os_brick.model import settings

_GROUP = 'os_brick'

_LOCKUTILS = 'oslo_concurrency.lockutils'

# No root function takes a longer limit (privileged/check.seconds).
_LONGEST_SECONDS = 3600
_SCAN_SECONDS = 20.0
_SCAN_SHARE = 1 / 6


class _Seconds(types.Float):  # type: ignore[misc, unused-ignore]
    """A number of seconds; ``nan``, which is neither below nor above any bound, is not one."""

    def __call__(self, value: object) -> float:
        found = float(super().__call__(value) or 0)
        if found != found:  # noqa: PLR0124 only nan differs from itself
            raise ValueError('nan is not a number of seconds')
        return found


_opts: list[cfg.Opt] = [
    cfg.StrOpt(
        'lock_path',
        default=None,
        help=(
            'Directory of the lock files that keep services on one host apart. Services that '
            'attach volumes on the same host must share it. Default: the lock_path of '
            '[oslo_concurrency].'
        ),
    ),
    cfg.StrOpt(
        'state_path',
        default='/run/os-brick',
        help=(
            'Directory of what is noted of attached volumes, for operators and "os-brick tree": an '
            'absolute path on a local file system. A service that cannot write to it keeps its '
            'notes in the directory of the lock files.'
        ),
    ),
    cfg.Opt(
        'operation_timeout',
        type=_Seconds(min=0.1, max=_LONGEST_SECONDS),
        default=120,
        help=(
            'Seconds within which one attach, detach or extend ends, with success or with an '
            'error. Every wait and every program in it honours this one deadline.'
        ),
    ),
    cfg.Opt(
        'scan_timeout',
        type=_Seconds(min=0.1, max=_LONGEST_SECONDS),
        default=None,
        help=(
            'Seconds to wait for a volume to appear on the host after the host has asked for it. '
            'Never more than what is left of operation_timeout. Default: 20, or a sixth of '
            'operation_timeout where that is more.'
        ),
    ),
    cfg.IntOpt(
        'wait_mpath_device_attempts',
        default=4,
        min=1,
        help=(
            'How often a new multipath device is asked whether it takes I/O. Kept for existing '
            'configurations: with wait_mpath_device_interval it bounds the wait.'
        ),
    ),
    cfg.IntOpt(
        'wait_mpath_device_interval',
        default=1,
        min=1,
        help=(
            'Seconds between these questions, doubled for each further one. Kept for existing '
            'configurations.'
        ),
    ),
    cfg.ListOpt(
        'extra_root_programs',
        item_type=types.String(regex=r'\A(?:(?:/[^/\0]+)+|[^/\0]+)\Z', quotes=True),
        default=[],
        help=(
            'Programs that callers of os-brick may run as root, in addition to the tools of block '
            'storage that it knows: names, which are found on the PATH of root, or absolute paths. '
            'A shell, or another program that starts programs, allows everything. Read by the root '
            'daemon: it has to be in a configuration file that the daemon is started with.'
        ),
    ),
    cfg.IntOpt(
        'nvmeof_queue_size',
        default=128,
        min=16,
        max=1024,
        help='How many commands one queue of an NVMe over Fabrics controller holds.',
    ),
    cfg.IntOpt(
        'nvmeof_nr_io_queues',
        min=1,
        help='How many I/O queues a controller has. Default: the kernel decides (one a CPU).',
    ),
    cfg.IntOpt(
        'nvmeof_ctrl_loss_tmo',
        default=-1,
        min=-1,
        help=(
            'Seconds after which the kernel gives up a controller that it cannot reach any more, '
            'and the devices with it. Default: never, because what was not written is lost then.'
        ),
    ),
    cfg.IntOpt(
        'nvmeof_reconnect_delay',
        min=1,
        help='Seconds between two tries to reach a lost controller. Default: the kernel decides.',
    ),
    cfg.IntOpt(
        'nvmeof_fast_io_fail_tmo',
        min=0,
        help=(
            'Seconds after which I/O to a lost controller fails instead of waiting, so that it '
            'can take another path. Default: the kernel decides.'
        ),
    ),
    cfg.IntOpt(
        'nvmeof_keep_alive_tmo',
        min=1,
        help='Seconds without an answer after which a controller is lost. Default: the kernel '
        'decides.',
    ),
    cfg.StrOpt(
        'nvmeof_io_policy',
        choices=['numa', 'round-robin', 'queue-depth'],
        help=(
            'How the kernel spreads I/O over the paths of a volume with native multipath. '
            'Default: left as it is.'
        ),
    ),
    cfg.StrOpt(
        'nvmeof_dhchap_secret',
        secret=True,
        help=(
            'The secret of this host for in-band authentication (DHHC-1:...), for volumes whose '
            'connection properties bring none.'
        ),
    ),
    cfg.StrOpt(
        'nvmeof_dhchap_ctrl_secret',
        secret=True,
        help='The secret by which a subsystem has to prove itself, with nvmeof_dhchap_secret.',
    ),
    cfg.StrOpt(
        'nvmeof_tls_psk',
        secret=True,
        help=(
            'The key of this host for TLS (NVMeTLSkey-1:...), for volumes over TCP whose '
            'connection properties bring none. They are attached over TLS only.'
        ),
    ),
    cfg.StrOpt(
        'luks_format',
        default='blank',
        choices=[
            ('blank', 'only a volume whose beginning and end read as zeros'),
            ('unsigned', 'also one with data on it, if no probe knows what that is'),
        ],
        help=(
            'Which volumes without a LUKS header are given one when they are attached for the '
            'first time. "unsigned" is for back ends that hand out volumes with what was on them '
            'before.'
        ),
    ),
    cfg.BoolOpt(
        'luks_format_again',
        default=False,
        help=(
            'Whether a volume that this host has seen a LUKS header on is formatted if it reads '
            'as blank. What is on such a volume is lost, if it is there after all.'
        ),
    ),
    cfg.BoolOpt(
        'luks_header_backup',
        default=False,
        help=(
            'Whether the LUKS header of each volume that is attached is kept on this host, below '
            '/var/lib/os-brick/luks-headers. One who has it and an old passphrase can decrypt the '
            'volume even after that passphrase was changed.'
        ),
    ),
]

# Listed under an entry point of its own.
_lightos_opts: list[cfg.Opt] = [
    cfg.HostAddressOpt(
        'lightos_discovery_client_address',
        default='localhost',
        help="Where the discovery client of Lightbits' clusters tells of itself over HTTP.",
    ),
    cfg.PortOpt(
        'lightos_discovery_client_port',
        default=6060,
        help='The port of that.',
    ),
    cfg.StrOpt(
        'lightos_discovery_client_dir_path',
        default='/etc/discovery-client/discovery.d/',
        help=(
            'The directory in which the discovery client looks for files (its clientConfigDir). '
            'Another one than the default is also read by the root daemon: it has to be in a '
            'configuration file that the daemon is started with.'
        ),
    ),
]

cfg.CONF.register_opts([*_opts, *_lightos_opts], group=_GROUP)


def list_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the options by group, for oslo-config-generator."""
    return [(_GROUP, _opts)]


def list_lightos_opts() -> list[tuple[str, list[cfg.Opt]]]:
    """Return the options of Lightbits' discovery client by group, as above."""
    return [(_GROUP, _lightos_opts)]


def current() -> settings.Settings:
    """Return what is configured now: at the start of an operation, which then hands it down.

    The directory of the locks is not in it. It belongs to the process and not to an operation, so
    ``core.locks`` reads it for each lock.
    """
    conf = cfg.CONF[_GROUP]
    return settings.Settings(
        operation_seconds=conf.operation_timeout,
        scan_seconds=_scan_seconds(conf.scan_timeout, conf.operation_timeout),
        state_path=conf.state_path,
        map_ready_seconds=_map_ready_seconds(
            conf.wait_mpath_device_attempts, conf.wait_mpath_device_interval
        ),
        nvme=settings.NVMe(
            **{
                field.name: conf[f'nvmeof_{field.name}']
                for field in dataclasses.fields(settings.NVMe)
            }
        ),
        luks=settings.Luks(
            **{
                field.name: conf[f'luks_{field.name}']
                for field in dataclasses.fields(settings.Luks)
            }
        ),
        lightos=settings.DiscoveryClient(
            conf.lightos_discovery_client_address,
            conf.lightos_discovery_client_port,
            conf.lightos_discovery_client_dir_path.rstrip('/'),
        ),
    )


def _scan_seconds(scan_timeout: float | None, operation_timeout: float) -> float:
    """How long a volume may take to appear.

    Where an operation is given more time than the default, programs of others need more of it, too:
    with 64 attaches at once on 2 processors, a disk of Fibre Channel came more than 20 s after its
    scan.
    """
    if scan_timeout is not None:
        return scan_timeout
    return max(_SCAN_SECONDS, operation_timeout * _SCAN_SHARE)


def _map_ready_seconds(attempts: int, interval: int) -> float:
    """The maximum wait for a new map to accept I/O, derived from the legacy options.

    So many questions, with pauses between them that start at twice the interval and double.
    """
    # Neither option has an upper limit, and no operation takes a day.
    turns = range(1, min(max(attempts, 2), 32))
    return float(min(sum(interval * 2**turn for turn in turns), 86400))


def set_defaults(conf: cfg.ConfigOpts = cfg.CONF) -> None:
    """Make ``[oslo_concurrency] lock_path`` the default of our own ``lock_path``.

    Only the default changes: a value from a file or an override still wins.

    :raises oslo_config.cfg.NoSuchOptError: if either group is unknown to ``conf``.
    """
    # Imported by name when needed: importing os_brick alone must stay cheap.
    cfg.CONF.import_opt('lock_path', _LOCKUTILS, group='oslo_concurrency')
    place = conf.oslo_concurrency.lock_path
    # A relative path means the directory that the service is started in, whichever it is in later.
    conf.set_default('lock_path', os.path.abspath(place) if place else place, group=_GROUP)
