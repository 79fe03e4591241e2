# SPDX-License-Identifier: Apache-2.0
"""What a program of the real daemon can do at all, as the kernel tells it in /proc."""

import os
import pathlib
import re
import subprocess
import sys

from oslo_privsep import capabilities as c
import pytest

from os_brick.privileged import bounding

ROOT = pathlib.Path(__file__).parents[3]

CLIENT = r"""
import sys
from oslo_config import cfg
from oslo_privsep import priv_context
cfg.CONF(sys.argv[1:], project='test')
priv_context.init(['env'])
from os_brick.privileged import rootwrap

print(open('/proc/self/status').read())
print('---')
print(rootwrap.execute_root('sh', '-c', 'cat /proc/self/status')[0])
"""


def _masks(status: str) -> dict[str, int]:
    found = re.findall(r'^(Cap\w+|NoNewPrivs):\s+(\w+)$', status, re.MULTILINE)
    return {name: int(digits, 16) for name, digits in found}


def _client(tmp_path: pathlib.Path, configured: str) -> tuple[dict[str, int], dict[str, int]]:
    """The masks of a service, and of a program that its daemon runs."""
    configuration = tmp_path / 'test.conf'
    configuration.write_text(
        f'[os_brick]\nextra_root_programs = sh\n[privsep_osbrick]\ncapabilities = {configured}\n'
    )
    programs = os.path.dirname(sys.executable)
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', CLIENT, '--config-file', str(configuration)],
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
    service, program = done.stdout.split('---')
    return _masks(service), _masks(program)


def _set(*numbers: int) -> int:
    return sum(1 << number for number in set(numbers))


@pytest.mark.parametrize(('configured', 'more'), [('', ()), ('CAP_SYS_TIME', (c.CAP_SYS_TIME,))])
def test_a_program_has_what_storage_needs_and_what_is_configured(
    tmp_path: pathlib.Path, configured: str, more: tuple[int, ...]
) -> None:
    service, program = _client(tmp_path, configured)
    mine = _masks(pathlib.Path('/proc/self/status').read_text())
    # The process of the service is not changed.
    assert service == mine
    may_change = mine['CapEff'] & _set(c.CAP_SETPCAP)
    kept = _set(*bounding.KEPT, *more) if may_change else -1
    assert program['CapBnd'] == mine['CapBnd'] & kept
    assert program['CapEff'] & ~program['CapBnd'] == 0


def test_what_is_dropped_is_what_no_tool_needs() -> None:
    dropped = set(c.Capabilities) - bounding.KEPT
    assert {c.CAP_SETPCAP, c.CAP_SETFCAP, c.CAP_SYS_BOOT, c.CAP_NET_RAW} <= dropped
    assert not dropped & {c.CAP_SYS_ADMIN, c.CAP_DAC_READ_SEARCH, c.CAP_MKNOD, c.CAP_SYS_RAWIO}


UNABLE = """
import logging
from oslo_privsep import capabilities
from os_brick.privileged import bounding
logging.basicConfig(level=logging.INFO)
capabilities.drop_all_caps_except([], [], [])
bounding.reduce(())
"""


def test_a_process_that_may_not_change_the_set_goes_on() -> None:
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', UNABLE],
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert 'cannot drop capabilities of the programs it starts: [Errno 1]' in done.stderr


DAEMON = r"""
import ctypes, sys
from oslo_config import cfg
from oslo_privsep import priv_context
for number in map(int, sys.argv[1].split(',')):
    ctypes.CDLL(None).prctl(24, number, 0, 0, 0)  # PR_CAPBSET_DROP, as a container runtime does
cfg.CONF(['--config-file', sys.argv[2]], project='test')
priv_context.init(['env'])
from os_brick.privileged import rootwrap

print(rootwrap.execute_root('sh', '-c', 'cat /proc/$PPID/status')[0])
"""


@pytest.mark.parametrize(
    ('withheld', 'has'),
    [(c.CAP_SYS_TIME, True), (c.CAP_SYS_PTRACE, False)],
    ids=['another', 'SYS_PTRACE'],
)
def test_the_daemon_sees_the_files_of_other_users_where_it_can(
    tmp_path: pathlib.Path, withheld: int, has: bool
) -> None:
    """What a container withholds it does not ask for: it would not start (capset(2), EPERM)."""
    configuration = tmp_path / 'test.conf'
    configuration.write_text('[os_brick]\nextra_root_programs = sh\n')
    programs = f'{os.path.dirname(sys.executable)}:{os.environ["PATH"]}'
    words = [sys.executable, '-W', 'ignore', '-c', DAEMON, str(withheld), str(configuration)]
    environment = {**os.environ, 'PATH': programs, 'PYTHONPATH': str(ROOT)}
    done = subprocess.run(words, env=environment, stdout=-1, text=True, timeout=60, check=True)
    more = [c.CAP_SYS_PTRACE] if has else []
    assert _masks(done.stdout)['CapEff'] == _set(c.CAP_SYS_ADMIN, c.CAP_DAC_READ_SEARCH, *more)
