# SPDX-License-Identifier: Apache-2.0
"""The one context, and the real daemon that it starts."""

import inspect
import os
import pathlib
import select
import socket
import subprocess
import sys
import threading

from oslo_config import cfg
from oslo_privsep import capabilities, comm, priv_context
import pytest

from os_brick import privileged
from os_brick.privileged import connection, nvmeof, rootwrap

# Run by a process of its own, because a daemon stays as long as its client. The
# daemon gives up all capabilities: nothing here needs any, nor root.
CLIENT = """
import concurrent.futures, sys, time
from oslo_config import cfg
from oslo_privsep import priv_context
cfg.CONF(sys.argv[1:], project='test')
priv_context.init(['env'])
from os_brick import exception
from os_brick.privileged import rootwrap

print('pid', rootwrap.execute_root('sh', '-c', 'echo $PPID')[0].strip())
try:
    rootwrap.unlink_root('/etc/passwd')
except exception.InvalidParameterValue as error:
    print('refused', error.err, error.args == (str(error),))
try:
    rootwrap.unlink_root('/dev/disk/by-id/os-brick+dev+none')
except FileNotFoundError as error:
    print('missing', error)
try:
    rootwrap.unlink_root('/dev/disk/by-id/os-brick+dev+none', raise_at_end=True)
except exception.ExceptionChainer as error:
    print('chained', bool(error), 'os-brick+dev+none' in str(error))
try:
    rootwrap.execute('sleep', '9', run_as_root=True, timeout=0.1)
except exception.ExecutionTimeout as error:
    print('timeout', error.cmd)
begun = time.monotonic()
with concurrent.futures.ThreadPoolExecutor(16) as pool:
    list(pool.map(lambda _n: rootwrap.execute_root('sleep', '0.5'), range(16)))
print('seconds', time.monotonic() - begun)
"""

ROOT = pathlib.Path(__file__).parents[3]


def _client(tmp_path: pathlib.Path, settings: str) -> dict[str, str]:
    configuration = tmp_path / 'test.conf'
    configuration.write_text(
        '[os_brick]\nextra_root_programs = sh, sleep\n'
        f'[privsep_osbrick]\ncapabilities =\n{settings}\n'
    )
    programs = os.path.dirname(sys.executable)
    done = subprocess.run(
        [sys.executable, '-c', CLIENT, '--config-file', str(configuration)],
        env={
            **os.environ,
            'PATH': f'{programs}:{os.environ["PATH"]}',
            'PYTHONPATH': str(ROOT),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(line.split(' ', 1) for line in done.stdout.splitlines())


def test_the_daemon_answers_sixteen_at_once_and_errors_keep_their_text(
    tmp_path: pathlib.Path,
) -> None:
    said = _client(tmp_path, '')
    assert int(said['pid']) != os.getpid()
    # A fact arrives as an attribute, and the text stays the only argument.
    assert said['refused'].startswith("'/etc/passwd' is")
    assert said['refused'].endswith('True')
    assert '/dev/disk/by-id/os-brick+dev+none' in said['missing']
    assert said['chained'] == 'True True'
    assert said['timeout'] == 'sleep 9'
    # One after the other they take 8 s, and 2 s with four processors' threads.
    assert float(said['seconds']) < 2


def test_the_number_of_threads_that_is_configured_wins(tmp_path: pathlib.Path) -> None:
    assert float(_client(tmp_path, 'thread_pool_size = 4')['seconds']) >= 2


class Channel(comm.ClientChannel):
    """A connection to a daemon that is not there."""


def test_no_one_waits_for_a_daemon_that_has_died(monkeypatch: pytest.MonkeyPatch) -> None:
    """It dies with a request that it has not read, which oslo.privsep's reader does not survive."""
    # Its thread ends with an error, which is the point.
    monkeypatch.setattr(threading, 'excepthook', lambda _args: None)
    ours, daemon = socket.socketpair()
    channel = Channel(ours)
    monkeypatch.setattr(privileged.default, 'channel', channel)
    connection.Connection(privileged.default).watch()
    said: list[Exception] = []

    def call() -> None:
        try:
            channel.send_recv(('ask', 1))
        except OSError as error:
            said.append(error)

    caller = threading.Thread(target=call, daemon=True)
    caller.start()
    assert select.select([daemon], [], [], 5)[0], 'no request came'
    daemon.close()
    caller.join(10)
    assert said
    assert not channel.running, 'the next call would not start another one'


def test_the_context_is_the_one_that_filters_of_services_name() -> None:
    assert isinstance(privileged.default, priv_context.PrivContext)
    assert privileged.default.pypath == 'os_brick.privileged.default'
    assert privileged.default.prefix == 'os_brick.privileged'
    assert privileged.default.cfg_section == 'privsep_osbrick'
    assert privileged.brick_privsep_hide_output is privileged.default
    assert privileged.capabilities == [
        capabilities.CAP_SYS_ADMIN,
        capabilities.CAP_DAC_READ_SEARCH,
    ]


def test_defaults_of_its_section() -> None:
    section = cfg.CONF.privsep_osbrick
    assert section.thread_pool_size == 64
    assert section.logger_name == 'os_brick.privileged'
    assert section.capabilities == privileged.capabilities


@pytest.mark.parametrize(
    'function',
    [
        rootwrap.execute_root,
        rootwrap.link_root,
        rootwrap.unlink_root,
        nvmeof.create_hostnqn,
        nvmeof.create_hostid,
        nvmeof.get_system_uuid,
    ],
)
def test_privsep_finds_the_entry_points(function: object) -> None:
    assert privileged.default.is_entrypoint(function)


def test_an_entry_point_keeps_name_and_signature() -> None:
    assert rootwrap.link_root.__name__ == 'link_root'
    assert rootwrap.link_root.__doc__
    assert list(inspect.signature(rootwrap.link_root).parameters) == [
        'target',
        'link_name',
        'force',
    ]
    assert inspect.isfunction(inspect.unwrap(rootwrap.link_root))


def test_importing_it_costs_little_more_than_privsep() -> None:
    """The daemon imports it before it answers."""
    code = (
        'import sys; from oslo_privsep import daemon, priv_context; import oslo_log.log\n'
        'before = set(sys.modules); import os_brick.privileged\n'
        'print(*sorted(set(sys.modules) - before))'
    )
    done = subprocess.run(
        [sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) <= {
        'os_brick',
        'os_brick.constants',
        'os_brick.core',
        'os_brick.core.bound',
        'os_brick.core.clock',
        'os_brick.model',
        'os_brick.model.settings',
        'os_brick.opts',
        'os_brick.privileged',
        'os_brick.privileged.bounding',
        'os_brick.privileged.connection',
        'os_brick.privileged.daemon_start',
    }
