# SPDX-License-Identifier: Apache-2.0
"""What callers may run as root, and that no wrapper, path or variable is a way around."""

from collections.abc import Iterator
import os
import pathlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from oslo_concurrency import processutils
from oslo_config import cfg
import pytest

from os_brick import opts
from os_brick.core import process
from os_brick.privileged import programs, rootwrap
from tests.unit import seams

OPTION = 'extra_root_programs'

# The command lines of the reference, and of consumers' own connectors.
ALLOWED = """
lvs --noheadings --unit=g -o vg_name,name,size --nosuffix --readonly vg
env LC_ALL=C lvs
env LC_ALL=C LVM_SYSTEM_DIR=/etc/cinder LVM_SUPPRESS_FD_WARNINGS=1 vgs --version
/usr/bin/env LC_ALL=C pvs
/usr/sbin/lvcreate -n a vg -L 1g
cryptsetup luksOpen --key-file=- /dev/sda crypt-a
ln --symbolic --force /dev/mapper/crypt-a /dev/disk/by-id/os-brick+dev+sda
nvme list-subsys -o json
dd if=/dev/sda of=/dev/null count=1
blockdev --getsize64 /dev/sda
cat /etc/iscsi/initiatorname.iscsi
tee -a /sys/class/scsi_host/host6/scan
tee -a /sys/block/sda/device/delete
tee -a /sys/bus/scsi/drivers/sd/6:0:0:1/rescan
tee -a /sys/bus/ccw/drivers/zfcp/0.0.1a00/0x50/unit_add
multipathd show status
multipath -f 3600
iscsiadm -m node
mdadm --assemble --run /dev/md/a /dev/nvme0n1
findmnt -v / -n -o SOURCE
blkid /dev/sda1 -s UUID -o value
mount -t nfs -o vers=4 host:/share /mnt
umount /mnt
rbd map a --pool b
casadm -L
pstorage -c c auth-node -P
pstorage-mount -c c /mnt
/lib/udev/scsi_id --page 0x83 --whitelisted /dev/sda
udevadm settle
""".strip().splitlines()

REFUSED = """
sh -c lvs
bash
sudo lvs
nice lvs
ionice -c 3 lvs
timeout 5 lvs
setsid lvs
xargs lvs
nsenter -t 1 lvs
chroot / lvs
python3 -c 1
env sh
env lvs=1 sh
env LC_ALL=C sh -c lvs
env -i lvs
env -S lvs
env --chdir=/tmp lvs
env -- lvs
env LC_ALL=C env LANG=C sh
env LC_ALL=C env lvs
env LC_ALL=C
env
env LD_PRELOAD=/tmp/x.so lvs
env PATH=/tmp lvs
env PYTHONPATH=/tmp lvs
env BASH_ENV=/tmp/x rescan-scsi-bus.sh
/tmp/lvs
./lvs
bin/lvs
/usr/bin/../../tmp/lvs
/usr/bin//lvs
/usr/bin/x/lvs
//usr/bin/lvs
dd if=/dev/zero of=/dev/sda
dd if=/etc/shadow of=/dev/null
dd if=/dev/../etc/shadow of=/dev/null
dd if=/dev/sda of=/dev/null of=/dev/sdb
dd if=/dev/sda
cat /etc/shadow
cat /sys/block/../../etc/shadow
tee /etc/passwd
tee -a /sys/kernel/uevent_helper
ln -sf /dev/mapper/a /etc/passwd
ln -sf /dev/mapper/a /dev/mapper/b
ln -sf /etc/shadow /dev/disk/by-id/os-brick+dev+sda
ln -sf /dev/mapper/a /dev/disk/by-id/os-brick/../../../etc/x
LVS
""".strip().splitlines()


@pytest.fixture
def allow() -> Iterator[Any]:
    yield lambda *names: cfg.CONF.set_override(OPTION, list(names), group='os_brick')
    cfg.CONF.clear_override(OPTION, group='os_brick')


def _why(command: str, variables: Any = None) -> str:
    with pytest.raises(processutils.ProcessExecutionError) as caught:
        programs.require(command.split(), variables)
    return str(caught.value.description)


@pytest.mark.parametrize('command', ALLOWED)
def test_what_handles_block_devices_is_allowed(command: str) -> None:
    programs.require(command.split(), {'LC_ALL': 'C'})


@pytest.mark.parametrize('command', REFUSED)
def test_anything_else_is_refused_before_it_starts(command: str) -> None:
    with (
        process.use(started := seams.Programs({})),
        pytest.raises(processutils.ProcessExecutionError),
    ):
        rootwrap.execute(*command.split(), run_as_root=True, attempts=3, check_exit_code=False)
    assert started.started == []


@pytest.mark.parametrize('command', ['', 'env', 'env A=b'])
def test_no_program_at_all(command: str) -> None:
    _why(command)


def test_the_error_names_the_program_and_the_option() -> None:
    said = _why('env LC_ALL=C mytool --password s3cret')
    assert "'mytool'" in said
    assert '[os_brick] extra_root_programs' in said
    assert 's3cret' not in said


def test_the_error_shows_no_secret() -> None:
    with pytest.raises(processutils.ProcessExecutionError) as caught:
        programs.require(['mytool', '--password', 's3cret'], None)
    assert 's3cret' not in str(caught.value)
    assert 'mytool' in str(caught.value.cmd)


@pytest.mark.parametrize(
    ('extra', 'command'),
    [
        ('mytool', 'mytool -x'),
        ('mytool', '/usr/bin/mytool'),
        ('mytool', 'env LC_ALL=C mytool'),
        ('/opt/array/bin/tool', '/opt/array/bin/tool -x'),
        ('dd', 'dd if=/dev/zero of=/dev/sda'),
    ],
)
def test_an_operator_allows_more(allow: Any, extra: str, command: str) -> None:
    _why(command)
    allow('other', extra)
    programs.require(command.split(), None)


@pytest.mark.parametrize(
    ('extra', 'command'),
    [
        ('mytool', '/tmp/mytool'),
        ('/opt/array/bin/tool', 'tool'),
        ('/opt/array/bin/tool', '/tmp/tool'),
        ('/opt/array/bin/tool', '/opt/array/bin/../bin/tool'),
        ('mytool', 'env LD_PRELOAD=x mytool'),
    ],
)
def test_an_operator_allows_no_more_than_that(allow: Any, extra: str, command: str) -> None:
    allow(extra)
    _why(command)


@pytest.mark.parametrize('given', ['bin/tool', './tool', '/', '../tool', 'a\0b'])
def test_what_is_neither_a_name_nor_a_path(given: str, tmp_path: pathlib.Path) -> None:
    conf = cfg.ConfigOpts()
    [(group, options)] = opts.list_opts()
    conf.register_opts(options, group=group)
    (tmp_path / 'x.conf').write_text(f'[os_brick]\n{OPTION} = lvs, {given}\n')
    conf([], default_config_files=[str(tmp_path / 'x.conf')])
    with pytest.raises(cfg.ConfigFileValueError, match=OPTION):
        _ = conf.os_brick[OPTION]


def test_roots_path_decides_which_program_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('PATH', '/opt/tools:.::bin:/usr/bin')
    assert programs.search_path() == '/opt/tools:/usr/bin'
    programs.require(['/opt/tools/lvs'], None)
    with process.use(started := seams.Programs({'lvs': [(0, '', '')] * 2})):
        rootwrap.execute_root('lvs')
        rootwrap.execute_root('lvs', env_variables={'LC_ALL': 'C'})
    first, second = (keywords['env'] for keywords in started.keywords)
    assert first == {**os.environ, 'PATH': '/opt/tools:/usr/bin'}
    assert second == {'LC_ALL': 'C', 'PATH': '/opt/tools:/usr/bin'}


@pytest.mark.parametrize('name', ['LD_PRELOAD', 'PATH', 'BASH_ENV', 'LC_ALL=x', ''])
def test_variables_that_change_what_a_program_does(name: str) -> None:
    assert name in _why('lvs', {name: 'x'})


WORDS = st.text('lvsenv=-./ ACPATH', min_size=1, max_size=12)


@given(st.lists(WORDS, min_size=1, max_size=4), WORDS)
def test_env_runs_only_what_could_run_without_it(words: list[str], program: str) -> None:
    """Whatever stands before it: if it is allowed, the first word that env would start is."""
    command = ['env', *words, program]
    try:
        programs.require(command, None)
    except processutils.ProcessExecutionError:
        return
    rest = list(command[1:])
    while '=' in rest[0] and not rest[0].startswith('-'):
        rest.pop(0)
    programs.require(rest, None)
