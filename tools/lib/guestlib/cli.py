# SPDX-License-Identifier: Apache-2.0
"""The command line of tools/guest."""

import argparse
import os
import signal
import sys
import time
from types import FrameType

from guestlib import command, image, paths, progress, resident

_DESCRIPTION = """\
A virtual machine with a real Linux storage stack (Debian trixie) for functional tests.
`start` boots it once; then each `run` takes seconds and sees the current checkout."""


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says; the exit status comes back."""
    signal.signal(signal.SIGTERM, _terminated)
    options = _parser().parse_args(arguments)
    try:
        return int(options.act(options) or 0)
    except progress.Failure as failure:
        progress.line(str(failure))
        return failure.status
    except KeyboardInterrupt:
        return 130


def _terminated(number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + number)  # as an exception, so that a build or a boot cleans up


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        'tools/guest', description=_DESCRIPTION, formatter_class=argparse.RawTextHelpFormatter
    )
    acts = parser.add_subparsers(required=True, metavar='COMMAND')

    def act(name: str, function: object, text: str) -> argparse.ArgumentParser:
        sub = acts.add_parser(name, help=text, description=text)
        sub.set_defaults(act=function)
        return sub

    act('build', _build, 'make the image now, if it is not there')
    act('start', _start, 'boot the resident guest')
    act('restart', _restart, 'stop and start')
    act('stop', _stop, 'end the resident guest, also while a command runs')
    act('status', _status, 'say what runs, for how long, and how to stop it')
    shell = act('shell', _shell, 'a shell in the guest')
    shell.add_argument('--no-sync', action='store_true', help='leave /opt/checkout as it is')
    run = act('run', _run, 'run a command in the guest (in /opt/checkout)')
    run.add_argument('--timeout', type=float, metavar='SECONDS', help='end it then; status 124')
    run.add_argument('--no-sync', action='store_true', help='leave /opt/checkout as it is')
    run.add_argument('-C', '--directory', default='/opt/checkout', help='working directory')
    run.add_argument('-i', '--stdin', action='store_true', help='pass standard input on')
    run.add_argument(
        '-e', '--env', action='append', default=[], metavar='NAME=VALUE', help='set a variable'
    )
    run.add_argument('command', nargs=argparse.REMAINDER, metavar='CMD ...')
    return parser


def _build(_options: argparse.Namespace) -> None:
    print(image.ready())


def _start(options: argparse.Namespace) -> None:
    with paths.locked('guest.lock', 'the guest'):
        found = resident.find()
        if found and not found.owner:
            progress.line('a resident guest is running already')
        else:
            if found:
                resident.stop(found)
            resident.start()
    _status(options)


def _restart(options: argparse.Namespace) -> None:
    with paths.locked('guest.lock', 'the guest'):
        found = resident.find()
        if found:
            resident.stop(found)
        resident.start()
    _status(options)


def _stop(_options: argparse.Namespace) -> None:
    found = resident.find()
    if found:
        resident.stop(found)
        progress.line('stopped')
    else:
        progress.line('no guest is running')


def _status(_options: argparse.Namespace) -> int:
    found = resident.find()
    if found is None:
        print('no guest is running; start one: tools/guest start')
        return 1
    print(f'running for {(time.time() - found.since) / 60:.0f} min ({found.accelerator})')
    print(f'image      {found.image}')
    print(f'console    {resident.directory() / "console.log"}')
    print(f'share      {found.share} (in the guest: /mnt/share)')
    print(f'used       {resident.idle_seconds() / 60:.0f} min ago')
    print(f'stop it    tools/guest stop (by itself when idle for {_hours()} h)')
    return 0


def _hours() -> str:
    return f'{resident.IDLE_SECONDS / 3600:g}'


def _shell(options: argparse.Namespace) -> int:
    if not sys.stdin.isatty():
        raise progress.Failure('a shell needs a terminal; use: tools/guest run -i bash', 2)
    order = command.Order(
        argv=['bash', '-l'],
        terminal=True,
        environment={'TERM': os.environ.get('TERM', 'vt100')},
        sync=not options.no_sync,
    )
    return command.run(order)


def _run(options: argparse.Namespace) -> int:
    argv = options.command[1:] if options.command[:1] == ['--'] else options.command
    if not argv:
        raise progress.Failure('run what? tools/guest run [--timeout SECONDS] CMD ...', 2)
    order = command.Order(
        argv=argv,
        timeout=options.timeout,
        directory=options.directory,
        environment=dict(word.partition('=')[::2] for word in options.env),
        stdin=options.stdin,
        sync=not options.no_sync,
    )
    return command.run(order)
