# SPDX-License-Identifier: Apache-2.0
"""What a bundle for support has in it: files of configuration, of the kernel, and logs; no program.

Of files that have secrets by nature (services' configuration) only what concerns block storage is
taken; all of it goes through :mod:`os_brick.doctor.masking` before it leaves this host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
import dataclasses
import re

from os_brick import exception
from os_brick.core import files, glance, parts, process, wait
from os_brick.doctor import facts
from os_brick.doctor.readers.look import why_denied
from os_brick.host import dm, multipathd, service_conf

LARGEST_FILE_BYTES = 512 << 10
LARGEST_TOTAL_BYTES = 16 << 20
_MOST_FILES = 3000
_ARGV_SECONDS = 2.0
_ANSWER_SECONDS = 2.0
# Whole files, by pattern; directories are not descended into.
_FILES = (
    *('/etc/multipath.conf', '/etc/multipath/conf.d/*.conf', '/etc/multipath/wwids'),
    *('/etc/multipath/bindings', '/etc/iscsi/iscsid.conf', '/etc/iscsi/initiatorname.iscsi'),
    *('/etc/iscsi/nodes/*/*', '/etc/iscsi/nodes/*/*/*', '/var/lib/iscsi/nodes/*/*'),
    *('/var/lib/iscsi/nodes/*/*/*', '/etc/iscsi/send_targets/*/st_config'),
    *('/var/lib/iscsi/send_targets/*/st_config', '/etc/iscsi/ifaces/*', '/var/lib/iscsi/ifaces/*'),
    *('/etc/nvme/hostnqn', '/etc/nvme/hostid', '/etc/nvme/discovery.conf', '/etc/nvme/config.json'),
    *('/etc/os-brick/doctor.d/*', '/etc/os-release', '/etc/modprobe.d/*.conf'),
    *('/proc/cmdline', '/proc/modules', '/proc/mounts', '/proc/partitions', '/proc/swaps'),
    *('/proc/version', '/proc/uptime', '/proc/net/unix', '/proc/sys/kernel/hostname'),
)
# Attributes of the kernel; those that are secrets (password, dhchap_secret) are not among them.
_ATTRIBUTES = (
    '/sys/class/iscsi_session/*/{targetname,state,recovery_tmo,initiatorname,ifacename,tpgt,'
    'target_id,abort_tmo,lu_reset_tmo}',
    '/sys/class/iscsi_connection/*/{address,port,persistent_address,persistent_port,state,ping_tmo,'
    'recv_tmo}',
    '/sys/class/fc_host/*/{port_name,node_name,port_state,speed,port_type}',
    '/sys/class/fc_remote_ports/*/{port_name,node_name,port_state,roles,dev_loss_tmo,'
    'fast_io_fail_tmo}',
    '/sys/class/nvme/*/{subsysnqn,hostnqn,hostid,address,state,transport,cntlid,ctrl_loss_tmo,'
    'reconnect_delay,kato}',
    '/sys/class/nvme-subsystem/*/{subsysnqn,iopolicy,model}',
    '/sys/block/*/{size,ro,dev,queue/max_sectors_kb,queue/logical_block_size,dm/name,dm/uuid,'
    'dm/suspended,device/state,device/vendor,device/model,device/rev,device/timeout,'
    'device/access_state,device/ioerr_cnt}',
    '/sys/module/{nvme_core,dm_multipath,iscsi_tcp,scsi_mod}/parameters/*',
)
# Logs, of which the last lines on storage are taken.
_LOGS = (
    *('/var/log/nova/nova-compute.log', '/var/log/cinder/cinder-volume.log', '/var/log/syslog'),
    *('/var/log/messages', '/var/log/kern.log', '/var/log/glance/glance-api.log'),
    *('/var/log/cinder/cinder-backup.log',),
)
_LOG_BYTES = 4 << 20
_ON_STORAGE = re.compile(
    r'os[-_]brick|iscsi|multipath|nvme|scsi|\bdm-\d|device-mapper|\bsd[a-z]+\b|I/O error',
    re.IGNORECASE,
)
_SECTIONS = ('os_brick', 'oslo_concurrency', 'privsep_osbrick')
_OPTIONS = re.compile(
    r'\s*(volume_use_multipath|iscsi_use_multipath|use_multipath_for_image_xfer|num_\w+_tries'
    r'|enforce_multipath_for_image_xfer|rootwrap_config|state_path|my_ip|enabled_backends'
    r'|volume_driver|target_protocol|target_helper|iscsi_iface|num_iscsi_scan_tries)\s*='
)
_PROGRAMS = re.compile(
    r'nova-compute|cinder-volume|cinder-backup|glance-api|privsep-helper|iscsid|iscsiadm|multipathd'
    r'|qemu-.*|kvm|nvme|os-brick'
)


@dataclasses.dataclass(slots=True)
class Collected:
    """Texts by the names that they have in the bundle, and what is missing."""

    texts: dict[str, str] = dataclasses.field(default_factory=dict)
    missing: list[facts.Unread] = dataclasses.field(default_factory=list)
    total: int = 0

    def add(self, name: str, text: str) -> None:
        """Add a text unless it is empty, cut if it is too long; none if the bundle is full."""
        if not text:
            return
        if self.total >= LARGEST_TOTAL_BYTES or len(self.texts) >= _MOST_FILES:
            self.missing.append(facts.Unread('report', name, 'the bundle is full'))
            return
        if len(text) > LARGEST_FILE_BYTES:
            text = f'{text[:LARGEST_FILE_BYTES]}\n[cut]\n'
        self.texts[name] = text
        self.total += len(text)


def collected(deadline: wait.Deadline, *, is_root: bool) -> Collected:
    """All of it, until the deadline."""
    found = Collected()
    for name, part in _PARTS.items():
        _collect(found, name, part, deadline, is_root=is_root)
    return found


def _collect(
    found: Collected, name: str, part: Callable[[], Part], deadline: wait.Deadline, *, is_root: bool
) -> None:
    for key, read in part():
        if deadline.passed:
            found.missing.append(facts.Unread('report', f'the rest of {name}', 'time was up'))
            return
        try:
            found.add(key, read())
        except PermissionError as error:
            found.missing.append(facts.Unread('report', key, why_denied(error, is_root=is_root)))
        except (OSError, exception.BrickException) as error:
            why = error.msg if isinstance(error, exception.BrickException) else str(error)
            found.missing.append(facts.Unread('report', key, why))


Part = Iterator[tuple[str, Callable[[], str]]]


def _configuration() -> Part:
    for pattern in _FILES:
        for path in files.glob(pattern):
            if not glance.is_directory(path):
                yield path, lambda path=path: _head(path)  # type: ignore[misc]


def _head(path: str) -> str:
    return parts.read(path, LARGEST_FILE_BYTES).decode('utf-8', 'replace')


def _kernel() -> Part:
    for pattern in _ATTRIBUTES:
        name = pattern.partition('*')[0].rstrip('/{').replace('/sys/', '')
        yield f'/sys/{name}.txt', lambda pattern=pattern: _attributes(pattern)  # type: ignore[misc]


def _attributes(pattern: str) -> str:
    before, _, rest = pattern.partition('{')
    words, _, after = rest.partition('}')
    paths = [path for word in words.split(',') for path in files.glob(f'{before}{word}{after}')]
    pairs = [
        (path, glance.read_or(path)) for path in sorted(paths) if not glance.is_directory(path)
    ]
    return ''.join(f'{path}: {text}\n' for path, text in pairs if text)


def _maps() -> Part:
    for name in glance.names('/sys/block'):
        if name.startswith('dm-') and (wwid := dm.wwid(name)):
            yield f'/dm/{name}', lambda wwid=wwid: _table(wwid)  # type: ignore[misc]


def _table(wwid: str) -> str:
    now = dm.status(dm.uuid_of(wwid))
    return f'{wwid}: {now}\n{dm.table(dm.uuid_of(wwid))}\n'


def _multipathd() -> Part:
    yield '/multipathd/paths', lambda: repr(multipathd.known_disks(_ANSWER_SECONDS))
    yield '/multipathd/queueing', lambda: repr(multipathd.queueing(_ANSWER_SECONDS))
    yield '/multipathd/excluded', lambda: repr(sorted(multipathd.excluded(_ANSWER_SECONDS)))


def _services() -> Part:
    for _, main in service_conf.found():
        for path in service_conf.files_of(main):
            yield path, lambda path=path: _excerpt(path)  # type: ignore[misc]


def _excerpt(path: str) -> str:
    """The sections and options of a service's configuration that concern block storage."""
    section, lines = '', []
    for line in _head(path).splitlines():
        head = re.match(r'\s*\[([^\]]+)\]', line)
        if head:
            section = head[1]
            lines.append(line)
        elif (section in _SECTIONS or _OPTIONS.match(line)) and not line.lstrip().startswith('#'):
            lines.append(line)
    return '\n'.join([*lines, ''])


def _logs() -> Part:
    for path in _LOGS:
        if glance.exists(path):
            yield path, lambda path=path: _tail(path)  # type: ignore[misc]


def _tail(path: str) -> str:
    """The last lines of a log that are about storage."""
    text = parts.read(path, _LOG_BYTES, from_end=True).decode('utf-8', 'replace')
    found = '\n'.join(line for line in text.splitlines() if _ON_STORAGE.search(line))
    return found[-LARGEST_FILE_BYTES:]


def _argv() -> Part:
    yield '/processes', _command_lines


def _command_lines() -> str:
    found = []
    for number in filter(str.isdigit, glance.names('/proc')):
        name = glance.read_or(f'/proc/{number}/comm')
        # The kernel cuts names off at 15 letters. Of one that hangs it cannot be read.
        is_ours = _PROGRAMS.match(name) or name.startswith('python')
        if is_ours and glance.read_or(f'/proc/{number}/stat').rpartition(')')[2].strip()[:1] != 'D':
            found.append(number)
    what = 'a look at command lines'
    return str(process.isolated(what, _ARGV_SECONDS, _read_command_lines, tuple(found)))


def _read_command_lines(numbers: tuple[str, ...]) -> str:
    lines = []
    for number in numbers:
        words = glance.read_or(f'/proc/{number}/cmdline').rstrip('\0').split('\0')
        lines.append(f'{number}: {" ".join(words)}')
    return '\n'.join(lines)


_PARTS: dict[str, Callable[[], Part]] = {
    'configuration': _configuration,
    'services': _services,
    'kernel': _kernel,
    'maps': _maps,
    'multipathd': _multipathd,
    'processes': _argv,
    'logs': _logs,
}
