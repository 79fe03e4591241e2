# SPDX-License-Identifier: Apache-2.0
"""What is broken on a host costs its own line and the right exit code, of every command that looks.

Never the command, and never more than ``--timeout``: each row breaks one thing beside a volume that
is well, and says what each command makes of it.
"""

from collections.abc import Callable
import pathlib
import shutil
import time

from oslo_config import cfg
import pytest

from os_brick.cmd import main
from tests.unit.doctor.conftest import Ward
from tests.unit.doctor.conftest import ward as ward  # noqa: PLC0414 the fixture

COMMANDS = ('tree', 'list', 'doctor', 'metrics', 'report')
SECONDS = 5
NOTE = f'os-brick-note-{"0" * 32}'


def _note(ward: Ward) -> None:
    (pathlib.Path(cfg.CONF.os_brick.state_path) / NOTE).write_text('{"garbled')
    ward.host.tree.file(f'/run/os-brick/{NOTE}', '{"garbled')


def _no_multipathd(ward: Ward) -> None:
    ward.host.multipathd_runs = False
    ward.around.end(762)


def _mute_multipathd(ward: Ward) -> None:
    def hang(what: str) -> None:
        if what.startswith('multipathd'):
            raise OSError('it does not answer')

    ward.host.before_act = hang


def _no_dev(ward: Ward) -> None:
    shutil.rmtree(ward.host.tree.at('/dev'))


def _no_tool(ward: Ward) -> None:
    ward.host.tree.remove('/usr/sbin/iscsiadm')


def _hung_disk(ward: Ward) -> None:
    ward.target.luns[1].unresponsive = True


# What is broken, and by command: exit code, and a word of its line. A command that is not named
# does not depend on it: exit code 0, and nothing on the standard error.
CASES: dict[str, tuple[Callable[[Ward], None], dict[str, tuple[int, str]]]] = {
    'a garbled note': (
        _note,
        {
            'tree': (3, NOTE),
            'list': (3, NOTE),
            'doctor': (3, NOTE),
            'metrics': (0, 'os_brick_unread{of="notes"} 1'),
        },
    ),
    'no multipathd': (_no_multipathd, {'doctor': (2, 'multipathd-down')}),
    'a multipathd that does not answer': (
        _mute_multipathd,
        {
            'doctor': (2, 'multipathd-mute'),
            'report': (3, '/multipathd/excluded: multipathd does not answer'),
        },
    ),
    'no /dev': (
        _no_dev,
        {'doctor': (2, 'container-view'), 'report': (3, 'No such file or directory')},
    ),
    'no iscsiadm': (_no_tool, {'doctor': (2, 'program-missing')}),
    'a disk that hangs': (_hung_disk, {'doctor': (3, 'sdb: it does not answer')}),
}


@pytest.mark.parametrize('command', COMMANDS)
@pytest.mark.parametrize('broken', CASES)
def test_what_is_broken_costs_its_line(
    broken: str,
    command: str,
    ward: Ward,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr('os.geteuid', lambda: 0)
    breaks, wanted = CASES[broken]
    breaks(ward)
    words = [command, '--timeout', str(SECONDS)]
    ward.host.tree.directory('/srv')
    words += ['-o', '/srv/report.tar.gz'] if command == 'report' else []
    before, begun = ward.host.clock.monotonic(), time.monotonic()
    code = main.main(words)
    assert ward.host.clock.monotonic() - before < SECONDS
    assert time.monotonic() - begun < 5 * SECONDS
    out, err = capsys.readouterr()
    known, text = wanted.get(command, (0, ''))
    assert code == known, (out, err)
    assert text in out + err
    assert 'fault of os-brick' not in err
