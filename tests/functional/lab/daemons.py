# SPDX-License-Identifier: Apache-2.0
"""iscsid and multipathd by hand, with short timers; their configuration is put back at the end."""

import dataclasses
import os
import pathlib
import signal
import socket
import struct

from tests.functional.lab import shell

INITIATOR = 'iqn.2026-11.org.lab:init'
MULTIPATH_CONF = pathlib.Path('/etc/multipath.conf')
ISCSID_CONF = pathlib.Path('/etc/iscsi/iscsid.conf')
INITIATOR_NAME = pathlib.Path('/etc/iscsi/initiatorname.iscsi')
_SOCKET = b'\0/org/kernel/linux/storage/multipathd'
# Debian's defaults cost 124 s for one unresponsive portal; these keep a test of it in seconds.
FAST = {
    'node.session.timeo.replacement_timeout': '5',
    'node.conn[0].timeo.login_timeout': '5',
    'node.conn[0].timeo.noop_out_interval': '2',
    'node.conn[0].timeo.noop_out_timeout': '2',
    'node.session.initial_login_retry_max': '1',
    'discovery.sendtargets.timeo.login_timeout': '3',
    'discovery.sendtargets.reopen_max': '1',
}


@dataclasses.dataclass(frozen=True)
class Multipath:
    """What a test may want of multipath.conf."""

    find_multipaths: str = 'no'
    no_path_retry: str = 'fail'
    user_friendly_names: str = 'no'
    path_grouping_policy: str = 'group_by_prio'
    blacklisted_product: str = ''
    uid_attribute: str = 'ID_SERIAL'
    # How often it looks at a path, in seconds: soon, so that tests see it fail. By default it is
    # 5, and at most four times as much.
    polling_interval: str = '1'
    max_polling_interval: str = '2'

    def text(self) -> str:
        """The file. ``overrides`` because the built-in entry for LIO queues for ever."""
        return f"""\
defaults {{
 user_friendly_names {self.user_friendly_names}
 find_multipaths {self.find_multipaths}
 skip_kpartx yes
 polling_interval {self.polling_interval}
 max_polling_interval {self.max_polling_interval}
 fast_io_fail_tmo 2
 dev_loss_tmo 60
}}
overrides {{
 uid_attribute {self.uid_attribute}
 path_checker tur
 no_path_retry {self.no_path_retry}
 path_grouping_policy {self.path_grouping_policy}
 failback immediate
}}
blacklist {{
 devnode "^(vd|loop|nvme|dm-)"
{self._blacklisted()}}}
"""

    def _blacklisted(self) -> str:
        product = self.blacklisted_product
        return f' device {{\n vendor ".*"\n product "{product}"\n }}\n' if product else ''


_saved: dict[pathlib.Path, bytes | None] = {}
_started: set[str] = set()


def _save(path: pathlib.Path) -> None:
    _saved.setdefault(path, path.read_bytes() if path.exists() else None)


def restore() -> None:
    """Put every configuration file back as it was before the laboratory."""
    for path, old in _saved.items():
        if old is None:
            path.unlink(missing_ok=True)
        else:
            path.write_bytes(old)
    _saved.clear()


def pids(name: str) -> list[int]:
    """The processes whose command name is exactly this."""
    return [int(pid) for pid in shell.processes() if shell.read(f'/proc/{pid}/comm') == name]


def start_iscsid() -> None:
    """Start iscsid unless it runs, with the lab's timers and initiator name."""
    for path in (ISCSID_CONF, INITIATOR_NAME):
        _save(path)
    old = (_saved[ISCSID_CONF] or b'').decode().splitlines()
    kept = [line for line in old if line.split('=')[0].strip() not in FAST]
    kept += [f'{name} = {value}' for name, value in FAST.items()]
    ISCSID_CONF.parent.mkdir(exist_ok=True)
    ISCSID_CONF.write_text('\n'.join(kept) + '\n')
    INITIATOR_NAME.write_text(f'InitiatorName={INITIATOR}\n')
    if not pids('iscsid'):
        pathlib.Path('/run/lock/iscsi').mkdir(parents=True, exist_ok=True)
        shell.run('iscsid')
        _started.add('iscsid')


def stop_iscsid() -> None:
    """Stop iscsid if we started it (sessions stay in the kernel)."""
    if 'iscsid' in _started:
        _end('iscsid')


def _end(name: str) -> None:
    for pid in pids(name):
        os.kill(pid, signal.SIGTERM)
    shell.until(lambda: not pids(name), 15, f'{name} ends')
    _started.discard(name)


def ask(question: str, seconds: float = 10) -> str:
    """multipathd's answer to one command, over its own socket.

    :raises OSError: if it does not run or does not answer.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
        channel.settimeout(seconds)
        channel.connect(_SOCKET)
        data = question.encode() + b'\0'
        channel.sendall(struct.pack('@Q', len(data)) + data)
        (length,) = struct.unpack('@Q', _receive(channel, 8))
        return _receive(channel, length).rstrip(b'\0').decode(errors='replace')


def _receive(channel: socket.socket, length: int) -> bytes:
    data = b''
    while len(data) < length:
        more = channel.recv(length - len(data))
        if not more:
            raise OSError('multipathd hung up')
        data += more
    return data


def multipathd_runs() -> bool:
    """Whether multipathd answers and has finished its (re)configuration."""
    try:
        return 'idle' in ask('show daemon')
    except OSError:
        return False


def start_multipathd(conf: Multipath | None = None) -> None:
    """Start multipathd unless it runs, and return when it is ready."""
    conf = conf or Multipath()
    _save(MULTIPATH_CONF)
    changed = shell.read(MULTIPATH_CONF) != conf.text().strip()
    MULTIPATH_CONF.write_text(conf.text())
    pathlib.Path('/etc/multipath').mkdir(exist_ok=True)
    if not pids('multipathd'):
        shell.modules('dm_multipath')
        shell.run('multipathd')
        _started.add('multipathd')
    elif changed:
        ask('reconfigure')
    shell.until(multipathd_runs, 30, 'multipathd is ready')


def iscsid_default(name: str, value: str) -> None:
    """A default for node records that are made from now on (until ``start_iscsid`` again)."""
    with open(ISCSID_CONF, 'a') as out:
        out.write(f'{name} = {value}\n')


def stop_multipathd() -> None:
    """Stop multipathd (maps stay in the kernel)."""
    if pids('multipathd'):
        _end('multipathd')


def revive() -> None:
    """Have both daemons run and answer, whatever a failed test has done to them."""
    for name in ('iscsid', 'multipathd'):
        for pid in pids(name):
            os.kill(pid, signal.SIGCONT)
    start_iscsid()
    start_multipathd()


def freeze_multipathd() -> None:
    """Have multipathd answer no one, as in a hang; what it is told waits for it."""
    for pid in pids('multipathd'):
        os.kill(pid, signal.SIGSTOP)


def thaw_multipathd() -> None:
    """Have multipathd go on, and return when it has done what had waited for it."""
    for pid in pids('multipathd'):
        os.kill(pid, signal.SIGCONT)
    shell.until(multipathd_runs, 30, 'multipathd answers again')
    shell.settle()


def configure(**wishes: str) -> None:
    """Change multipath.conf (fields of ``Multipath``) and have the running daemon read it."""
    start_multipathd(Multipath(**wishes))


def stop() -> None:
    """Stop what the laboratory started and put the files back."""
    if 'multipathd' in _started:
        stop_multipathd()
    stop_iscsid()
    restore()


def map_paths(wwid: str) -> dict[str, str]:
    """Disk name to state (``active``, ``failed``) of one map's paths, by multipathd."""
    paths = {}
    for line in ask('show paths raw format "%w %d %t"').splitlines():
        fields = line.split()
        if len(fields) == 3 and fields[0] == wwid:
            paths[fields[1]] = fields[2]
    return paths
