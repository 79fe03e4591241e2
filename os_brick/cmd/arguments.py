# SPDX-License-Identifier: Apache-2.0
"""Options that every command has, before its name or after it, and the help."""

from __future__ import annotations

import argparse
import importlib
import math
import textwrap
from types import ModuleType
from typing import NoReturn

from os_brick.cmd import exits, table
from os_brick.cmd.output import FORMATS
from os_brick.core import glance
from os_brick.model.names import shown

PROGRAM = 'os-brick'
_DEFAULTS = {
    'format': None, 'column': None, 'sort_column': None, 'noindent': False, 'max_width': 0,
    'timeout': None, 'verbose': 0, 'quiet': False, 'no_color': False, 'config_file': None,
}  # fmt: skip
# For a screen of 80 columns.
_WIDTH = 80
_EPILOG = """\
WHAT is a volume's ID or its start, dm-4, /dev/..., sdc, 4:0:0:1, a WWID, a UUID
or NQN, IQN/LUN, session:65, nvme0, host5, rport-5:0-3, or a portal
(10.0.0.1:3260).
exit codes of look and understand: 0 nothing to report, 1 warnings, 2 failures,
  3 something could not be read; of change: 0 done, 1 failed and taken back,
  2 something is left, 3 refused, 4 not there, 5 time is up; of all: 64 usage,
  77 needs root, 255 a bug
"""
_OF_EVERY_COMMAND = """\
options of every command:
  -f, --format tree|table|json|yaml|value|csv     -c, --column COLUMN (it alone)
  --sort-column COLUMN    --noindent (JSON on one line)          --max-width N
  --timeout SECONDS       --config-file FILE (a service's)       --no-color
  -v, --verbose (steps; -vv: the debug log)                      -q, --quiet
"""


class Parser(argparse.ArgumentParser):
    """A parser that raises our error in the place of ending the process."""

    def format_help(self) -> str:
        """The help on a screen of 24 lines: what the command has of its own, and what all have."""
        own = [each for each in self._actions if each.default != argparse.SUPPRESS]
        words = [_in_usage(each) for each in own if not each.option_strings]
        formatter = argparse.RawDescriptionHelpFormatter(self.prog, width=_WIDTH)
        formatter.add_usage(' '.join(['%(prog)s [options]', *words]), [], [])
        formatter.add_text(self.description)
        formatter.start_section(None)
        formatter.add_arguments(own)
        formatter.end_section()
        formatter.add_text(_OF_EVERY_COMMAND)
        return formatter.format_help()

    def error(self, message: str) -> NoReturn:
        """Raise the error for arguments that do not make sense."""
        raise exits.usage(f'{message[:1].upper()}{message[1:]}.', f'See {self.prog} --help.')


def _in_usage(action: argparse.Action) -> str:
    """A positional argument in the line of the usage."""
    name = str(action.metavar or '|'.join(map(str, action.choices or (action.dest,))))
    return f'[{name} ...]' if action.nargs == '*' else name


def parser_of(command: table.Command) -> Parser:
    """The parser of one command, with the options of all; imports its module."""
    module = module_of(command)
    parser = Parser(
        prog=f'{PROGRAM} {command.name}',
        description=_wrapped((module.__doc__ or '').partition(': ')[2]),
        allow_abbrev=False,
    )
    module.add_arguments(parser)
    add_common(parser)
    return parser


def _wrapped(text: str) -> str:
    """The paragraphs of a text for a screen; lines that are indented stay as they are."""
    text = f'{text[:1].upper()}{text[1:]}'
    parts = [part.strip('\n') for part in text.split('\n\n')]
    return '\n'.join(
        part if part.startswith(' ') else textwrap.fill(part, _WIDTH - 1) for part in parts if part
    )


def module_of(command: table.Command) -> ModuleType:
    """The module of a command."""
    return importlib.import_module(command.where)


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add the options of all commands; one that is not given leaves what was there."""
    common = parser.add_argument_group('options of every command')

    def option(*names: str, **more: object) -> None:
        common.add_argument(*names, default=argparse.SUPPRESS, **more)  # type: ignore[arg-type]

    option('-f', '--format', choices=FORMATS, help='default: tree, or table where there is none')
    option('-c', '--column', action='append', metavar='COLUMN', help='print this column alone')
    option('--sort-column', action='append', metavar='COLUMN', help='sort rows by it')
    option('--noindent', action='store_true', help='JSON on one line')
    option('--max-width', type=_count, metavar='N', help='cut lines at N columns')
    option('--timeout', type=_seconds, metavar='SECONDS', help='for the whole command')
    option('--no-color', action='store_true', help='as NO_COLOR in the environment')
    option('--config-file', action='append', metavar='FILE', help="of the service, such as nova's")
    option('-v', '--verbose', action='count', help='steps and programs; -vv: the debug log')
    option('-q', '--quiet', action='store_true', help='no notes on the standard error')


def _count(text: str) -> int:
    if not (text.isdecimal() and text.isascii() and int(text) > 9):
        raise argparse.ArgumentTypeError('has to be a number from 10')
    return int(text)


def _seconds(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 < found < 1e6:
        raise argparse.ArgumentTypeError(f'{text!r} is not a time in seconds')
    return found


def parse(argv: list[str]) -> tuple[table.Command | None, argparse.Namespace]:
    """The command that was called, with its options; ``None`` if only the help was asked for.

    :raises CommandError: if the arguments do not make sense.
    """
    first = Parser(prog=PROGRAM, add_help=False, allow_abbrev=False)
    first.add_argument('-h', '--help', action='store_true')
    first.add_argument('--version', action='store_true')
    first.add_argument('command', nargs='?')
    first.add_argument('rest', nargs=argparse.REMAINDER)
    add_common(first)
    options = argparse.Namespace(**_DEFAULTS)
    first.parse_args(argv, options)
    name, rest = options.command, options.rest
    if options.version:
        name, rest = 'version', []
    if options.help or name is None:
        if name is None:
            return None, options
        rest = ['--help']
    command = table.BY_NAME.get(name)
    if command is None:
        raise unknown(name)
    parser_of(command).parse_args(rest, options)
    for path in options.config_file or ():
        if not glance.exists(path):
            raise exits.usage(f'There is no file {shown(path)}.', 'Name that of the service.')
    if options.timeout is None:
        options.timeout = command.seconds
    return command, options


def unknown(name: str) -> exits.CommandError:
    """The error for a command that there is not, with those that are spelled like it."""
    import difflib

    near = tuple(difflib.get_close_matches(name, table.BY_NAME, n=3))
    return exits.CommandError(
        'usage',
        f'There is no command {shown(name)}.',
        exit_code=exits.Exit.USAGE,
        remedy='os-brick --help lists the commands.',
        candidates=near,
    )


def overview() -> str:
    """The help of the whole, on one screen; imports no command."""
    lines = [f'usage: {PROGRAM} [options] COMMAND ...', '']
    for group, title in table.GROUPS.items():
        rows = [command for command in table.COMMANDS if command.group == group]
        if rows:
            lines += [title, *(f'  {each.name:11} {each.summary}' for each in rows)]
    lines += [
        '',
        'options: -f tree|table|json|yaml|value|csv  -c COLUMN  --timeout SECONDS  -v  -q',
        f'         --no-color  --config-file FILE    {PROGRAM} COMMAND --help has all',
        '',
        _EPILOG.rstrip(),
    ]
    return '\n'.join(lines)
