# SPDX-License-Identifier: Apache-2.0
"""The command line as the pages tell of it: commands parse, and nothing of it is left out."""

import argparse
import pathlib
import re
import shlex

import pytest

from os_brick.cmd import arguments, exits, table
from os_brick.doctor import catalogue
from tests import pages

FILES = (*pages.ALL, *sorted((pages.ROOT / 'contrib').rglob('*.service')))
FOUND = sorted(
    {(page.name, words) for page in FILES for words in pages.own_commands(page.read_text())}
)
MANUAL = {
    name: (pages.USER / f'{name}.rst').read_text() for name in ('command-line', 'doctor', 'change')
}
PLACEHOLDERS = {'COMMAND', 'WHAT', 'ID…'}


@pytest.mark.parametrize(('page', 'words'), FOUND)
def test_a_command_of_ours_parses(
    page: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    first, *rest = shlex.split(words)
    if first in PLACEHOLDERS:
        first = 'tree'
    if not rest and first in {'attach', 'detach', 'extend', 'show', 'explain'}:
        return  # the command's name, in a sentence
    try:
        command, options = arguments.parse([first, *rest])
    except SystemExit:
        assert 'usage: os-brick' in capsys.readouterr().out
        return
    if command is not None and command.name == 'doctor':
        known = set(catalogue.entries())
        assert {*options.check} - PLACEHOLDERS <= known


def test_commands_were_found() -> None:
    assert len(FOUND) > 20
    text = '::\n\n    # os-brick tree --aks | less   # why\n\n``os-brick list``'
    assert pages.own_commands(text) == ['tree --aks', 'list']
    with pytest.raises(exits.CommandError):
        arguments.parse(['tree', '--aks'])


def _own(command: table.Command) -> list[argparse.Action]:
    """The options and arguments of one command that not every command has."""
    common = argparse.ArgumentParser()
    arguments.add_common(common)
    shared = {name for action in common._actions for name in action.option_strings}
    return [
        action
        for action in arguments.parser_of(command)._actions
        if not shared.intersection(action.option_strings)
    ]


@pytest.mark.parametrize('command', table.COMMANDS, ids=lambda command: command.name)
def test_a_command_has_its_line_with_all_options(command: table.Command) -> None:
    """On a page of those that become manual pages: ``tree [WHAT ...] [--ask]``."""
    lines = [
        line
        for text in MANUAL.values()
        for line in re.findall(rf'^``({command.name}(?: [^`\n]*)?)``$', text, re.MULTILINE)
    ]
    (line,) = lines
    for action in _own(command):
        names = action.option_strings or [*(action.choices or [str(action.metavar)])]
        assert any(re.search(rf'(?<![\w-]){re.escape(name)}(?![\w-])', line) for name in names), (
            names
        )


def test_the_options_of_every_command_are_told() -> None:
    common = argparse.ArgumentParser(add_help=False)
    arguments.add_common(common)
    for action in common._actions:
        assert any(f'``{name}' in MANUAL['command-line'] for name in action.option_strings), action


def _codes(page: str) -> set[int]:
    return {int(code) for code in re.findall(r'^(\d+)  +\S', MANUAL[page], re.MULTILINE)}


def test_exit_codes_are_those_of_the_table() -> None:
    both = {
        exits.Exit.USAGE,
        exits.Exit.NOT_PRINTED,
        exits.Exit.NEEDS_ROOT,
        exits.Exit.INTERRUPTED,
        exits.Exit.BUG,
    }
    look = {
        exits.Exit.OK,
        exits.Exit.WARNINGS,
        exits.Exit.FAILURES,
        exits.Exit.UNREAD,
        exits.Exit.NOT_THERE,
    }
    change = {exits.Exit.OK, exits.Exit.FAILED_AND_TAKEN_BACK, exits.Exit.SOMETHING_IS_LEFT}
    change |= {exits.Exit.REFUSED, exits.Exit.NOT_THERE, exits.Exit.TIME_IS_UP}
    assert _codes('command-line') == look | both
    assert _codes('change') == change | both
    assert {*exits.Exit} == look | change | both


@pytest.mark.parametrize(
    'path', sorted((pages.ROOT / 'contrib').rglob('os-brick*')), ids=lambda path: path.name
)
def test_a_unit_names_a_manual_page_that_is_made(path: pathlib.Path) -> None:
    named = re.findall(r'man:([\w-]+)\(', path.read_text())
    conf = (pages.DOC / 'conf.py').read_text()
    assert all(f"'{name}'" in conf for name in named)
