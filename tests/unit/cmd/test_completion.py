# SPDX-License-Identifier: Apache-2.0
"""The scripts of the shells know every command and option, and a shell takes them."""

import shutil
import subprocess

import pytest

from os_brick.cmd import arguments, main, table

SHELLS = ('bash', 'zsh', 'fish')


def script(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main.main(['completion', shell]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize('shell', SHELLS)
def test_every_command_and_option_is_known(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = script(shell, capsys)
    for command in table.COMMANDS:
        assert command.name in text
        for action in arguments.parser_of(command)._actions:
            for option in action.option_strings:
                name = option.lstrip('-') if shell == 'fish' else option
                assert name in text, (command.name, option)


@pytest.mark.parametrize('shell', SHELLS)
def test_the_shell_takes_it(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = script(shell, capsys)
    assert text.count("'") % 2 == 0
    if shutil.which(shell):
        option = '--no-execute' if shell == 'fish' else '-n'
        done = subprocess.run([shell, option], input=text, text=True, capture_output=True)
        assert (done.returncode, done.stderr) == (0, '')


@pytest.mark.parametrize(
    ('words', 'found'),
    [
        ('os-brick tr', 'tree'),
        ('os-brick tree --by se', 'session'),
        ('os-brick completion fi', 'fish'),
        ('os-brick -f json list --deg', '--degraded'),
    ],
)
def test_bash_completes(words: str, found: str, capsys: pytest.CaptureFixture[str]) -> None:
    line = words.split(' ')
    code = (
        f'{script("bash", capsys)}\nCOMP_WORDS=({words})\nCOMP_CWORD={len(line) - 1}\n'
        'PATH=/nowhere\n_os_brick\necho "${COMPREPLY[@]}"'
    )
    done = subprocess.run(['/bin/bash', '-c', code], text=True, capture_output=True, check=True)
    assert done.stdout.split() == [found]
