# SPDX-License-Identifier: Apache-2.0
"""From arguments to an exit code: what the shell and a program get."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

from os_brick.cmd import arguments, main, table
from os_brick.cmd.exits import Exit

ROOT = pathlib.Path(__file__).parents[3]


def test_help_is_on_one_screen(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(['--help']) == Exit.OK
    text = capsys.readouterr().out
    assert len(text.splitlines()) <= 33
    assert max(map(len, text.splitlines())) <= 80
    assert all(command.name in text for command in table.COMMANDS)


@pytest.mark.parametrize('name', table.BY_NAME)
def test_so_is_that_of_each_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """On the smallest of screens, with each option."""
    assert main.main([name, '--help']) == Exit.OK
    text = capsys.readouterr().out
    assert len(text.splitlines()) <= 24
    assert max(map(len, text.splitlines())) <= 80
    parser = arguments.parser_of(table.BY_NAME[name])
    for action in parser._actions:
        assert (
            action.dest == 'help' or not action.option_strings or action.option_strings[-1] in text
        )
        assert action.option_strings or str(action.metavar or '{') in text


@pytest.mark.parametrize(
    ('argv', 'text', 'remedy'),
    [
        (['versoin'], "There is no command 'versoin'.", 'version'),
        (['version', '--nothing'], 'Unrecognized arguments: --nothing.', 'version --help'),
        (['-f', 'xml', 'version'], "invalid choice: 'xml'", '--help'),
        (['version', '--timeout', 'nan'], 'is not a time in seconds', '--help'),
        (['version', '-c', 'size'], 'There is no column size.', 'The columns are what, version.'),
    ],
)
def test_what_makes_no_sense(
    argv: list[str], text: str, remedy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(argv) == Exit.USAGE
    error = capsys.readouterr().err
    assert text in error
    assert remedy in error


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main([]) == Exit.USAGE
    assert 'usage: os-brick' in capsys.readouterr().out


@pytest.mark.parametrize('argv', [['-f', 'json', 'version'], ['version', '--format=json']])
def test_options_before_and_after_the_command(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.main(argv) == Exit.OK
    assert json.loads(capsys.readouterr().out)['schema'] == 'os-brick/version/1'


def test_an_error_for_a_program(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(['-f', 'json', 'nothing']) == Exit.USAGE
    assert json.loads(capsys.readouterr().err)['error']['code'] == 'usage'


def test_the_package_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, '-m', 'os_brick', 'version', '-f', 'value'],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, '')
    assert f'kernel {os.uname().release}' in done.stdout


@pytest.mark.parametrize('name', ['attach', 'connector'])
def test_no_library_tells_of_itself(name: str) -> None:
    """On a host with eventlet, such as nova's, oslo.privsep printed a deprecation of ten lines."""
    done = subprocess.run(
        [sys.executable, '-m', 'os_brick', name, '--help'],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, '')


def test_a_reader_that_has_seen_enough() -> None:
    done = subprocess.run(
        f'{sys.executable} -m os_brick --help | true; echo ${{PIPESTATUS[0]}}',
        shell=True,
        executable='/bin/bash',
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ('0\n', '')


@pytest.mark.parametrize(
    ('line', 'code'),
    [
        ('version >&-', Exit.OK),
        ('version >&- 2>&-', Exit.OK),
        ('show nosuch 2>&-', Exit.NOT_THERE),
        ('show nosuch 2>/dev/full', Exit.NOT_THERE),
        ('version >/dev/full', Exit.NOT_PRINTED),
    ],
)
def test_streams_that_are_closed_or_full(line: str, code: int) -> None:
    done = subprocess.run(
        f'{sys.executable} -m os_brick {line}',
        shell=True,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code
    assert 'fault of os-brick' not in done.stderr


@pytest.mark.parametrize(
    ('what', 'text'), [('ä', "'ä'"), ('', "''"), ('x' * 100000, 'xxx...xxx'), ('\x1b[31m', r'\x1b')]
)
def test_a_name_in_an_error(what: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(['show', what]) == Exit.NOT_THERE
    error = capsys.readouterr().err
    assert text in error
    assert len(error) < 300
    assert '\x1b' not in error
