# SPDX-License-Identifier: Apache-2.0
"""The storage's program: its answers, what is made of them, and the verb that takes back."""

import json
import pathlib
import subprocess
import sys
from typing import Any

import pytest

from os_brick import exception
from os_brick.core import bound, clock, process, undo, wait
from os_brick.host import huawei
from tests.unit import seams

PROGRAM = '/opt/sds_cli'
VOLUME = 'volume-1'
SOON = wait.Deadline.after(60)


def answers(what: str, *found: Any) -> Any:
    return process.use(seams.Programs({f'{PROGRAM} -c {what} -v {VOLUME}': list(found)}))


@pytest.mark.parametrize(('code', 'is_attached'), [(0, True), (50151400, False), (50155007, False)])
def test_is_attached(code: int, is_attached: bool) -> None:
    with answers('querydev', (0, f'ret_code={code}\n', '')):
        assert huawei.is_attached(PROGRAM, VOLUME, SOON) is is_attached


@pytest.mark.parametrize(
    'text', ['', 'ret_code=\n', 'ret_code=-1\n', 'code=0\n', 'ret_code=\u0660\n']
)
def test_an_answer_without_a_code_is_an_error(text: str) -> None:
    with answers('querydev', (0, text, '')), pytest.raises(exception.BrickException, match=VOLUME):
        huawei.is_attached(PROGRAM, VOLUME, SOON)


def test_device_of() -> None:
    with answers('querydev', (0, 'ret_code = 0\ndev_addr = /dev/vdx \nmore=/dev/vdy\n', '')):
        assert huawei.device_of(PROGRAM, VOLUME, SOON) == '/dev/vdx'


@pytest.mark.parametrize(
    'text', ['ret_code=1\ndev_addr=/dev/vdx', 'ret_code=0', 'ret_code=0\ndev_addr=/etc/passwd']
)
def test_no_device(text: str) -> None:
    with answers('querydev', (0, text, '')), pytest.raises(exception.BrickException, match='query'):
        huawei.device_of(PROGRAM, VOLUME, SOON)


def test_an_order_ends_in_one_of_the_codes_it_may() -> None:
    found = [(0, f'ret_code={code}\n', '') for code in (7, 8)]
    with answers('attach', *found):
        assert huawei.order(PROGRAM, 'attach', VOLUME, (0, 7), SOON) == 7
        with pytest.raises(exception.BrickException, match='ret_code=8'):
            huawei.order(PROGRAM, 'attach', VOLUME, (0, 7), SOON)


def test_taking_back_ends_with_its_operation() -> None:
    done = (0, 'ret_code=0\n', '')
    programs = seams.Programs({f'{PROGRAM} -c detach -v {VOLUME}': [done, done]})
    with process.use(programs):
        huawei.detach(PROGRAM, VOLUME, 90.0)
        with bound.until(clock.monotonic() + 5):
            huawei.detach(PROGRAM, VOLUME, 90.0)
    first, second = (float(each['timeout']) for each in programs.keywords)
    assert 80 < first <= 90
    assert second <= 5


def test_another_process_takes_back_what_was_written_down(tmp_path: pathlib.Path) -> None:
    program = tmp_path / 'sds_cli'
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\necho ret_code=0\n')
    program.chmod(0o755)
    todo = undo.Undo()
    todo.add(huawei.detach, str(program), VOLUME, 20.0)
    (tmp_path / 'steps').write_text(json.dumps(todo.steps()))
    code = (
        'import json, sys\n'
        'from os_brick.core import undo\n'
        'assert not any(name.startswith("os_brick.host") for name in sys.modules)\n'
        'print(undo.replay(json.load(open(sys.argv[1]))))\n'
    )
    done = subprocess.run(
        [sys.executable, '-c', code, str(tmp_path / 'steps')],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == '[]\n'
    assert (tmp_path / 'calls').read_text() == f'-c detach -v {VOLUME}\n'
