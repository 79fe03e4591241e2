# SPDX-License-Identifier: Apache-2.0
"""Runs a command in the guest as if it were here: live output, exit status, Ctrl-C, time-out."""

import base64
from collections.abc import Iterator, Mapping, Sequence
import contextlib
import dataclasses
import math
import os
import select
import shutil
import signal
import sys
import termios
import time
import tty
from typing import Any

from guestlib import channel, checkout, paths, progress, recipe, resident

_GRACE_SECONDS = 45.0  # the agent needs up to 30 s to kill, then answers


@dataclasses.dataclass(frozen=True)
class Order:
    """What to run, where and for how long at most."""

    argv: Sequence[str]
    timeout: float | None = None
    directory: str = recipe.CHECKOUT
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    stdin: bool = False
    terminal: bool = False
    sync: bool = True


@contextlib.contextmanager
def guest(*, fresh: bool = False) -> Iterator[resident.Guest]:
    """The resident guest, or one that is booted now and ended afterwards; no one else uses it.

    With `fresh` a resident guest is ended first, in whatever use and state it is.
    """
    old = resident.find() if fresh else None
    if old:
        progress.line('ending the resident guest, as a fresh one is asked for')
        resident.stop(old)
    with paths.locked('guest.lock', 'the guest'):
        found = _usable()
        running = found or resident.start(owner=os.getpid())
        resident.touch()
        try:
            yield running
        finally:
            if found is None:
                resident.stop(running)
            else:
                resident.touch()


def _usable() -> resident.Guest | None:
    found = resident.find()
    if found is None or not found.owner:
        if found and found.image != f'image-{recipe.key()}':
            progress.line(
                'note: the resident guest has another image; renew it: tools/guest restart'
            )
        elif found and found.inside != resident.inside_key():
            progress.line(
                'note: the resident guest has other scripts; renew it: tools/guest restart'
            )
        return found
    resident.stop(found)  # its client died
    return None


def run(order: Order) -> int:
    """Run one command in the guest; its exit status comes back, 124 after the time-out."""
    with guest() as running:
        return run_in(running, order)


def run_in(running: resident.Guest, order: Order) -> int:
    """Like `run`, in a guest that the caller holds (see `guest`)."""
    with channel.connect(running.directory) as line:
        if order.sync:
            checkout.synchronise(line, running)
        columns, rows = shutil.get_terminal_size()
        line.send(
            'run',
            argv=list(order.argv),
            cwd=order.directory,
            env=dict(order.environment),
            timeout=order.timeout,
            stdin=order.stdin or order.terminal,
            tty=order.terminal,
            size=[rows, columns],
        )
        with _raw_terminal(order.terminal), _signals() as caught:
            return _follow(line, order, caught)


def _follow(line: channel.Line, order: Order, caught: list[int]) -> int:
    """Carry output and input until the command has ended."""
    until = time.monotonic() + order.timeout + _GRACE_SECONDS if order.timeout else math.inf
    inputs = [line.fileno(), 0] if order.stdin or order.terminal else [line.fileno()]
    told = 0
    while time.monotonic() < until:
        if len(caught) > told:
            told = len(caught)
            until = time.monotonic() + _GRACE_SECONDS
            line.send('kill', why=f'ended by signal {caught[-1]}')
        _wait(line, inputs)
        message = line.receive(0.0)
        if message and 'exit' in message:
            return _ended(message, caught)
        if message:
            _print(message)
    raise progress.Failure('the guest does not answer; try: tools/guest stop', 124)


def _wait(line: channel.Line, inputs: list[int]) -> None:
    """Pause until the guest says something, passing standard input on meanwhile."""
    if line.waiting():
        return
    ready, _, _ = select.select(inputs, [], [], 0.2)
    if 0 in ready and not _send_input(line):
        inputs.remove(0)


def _ended(message: dict[str, Any], caught: list[int]) -> int:
    if message.get('note'):
        progress.line(message['note'])
    return 128 + caught[0] if caught else int(message['exit'])


def _send_input(line: channel.Line) -> bool:
    """Pass standard input on; False at its end."""
    data = os.read(0, 4096)
    line.input(data)
    return bool(data)


def _print(message: dict[str, Any]) -> None:
    for name, stream in (('out', sys.stdout), ('err', sys.stderr)):
        if name in message:
            stream.buffer.write(base64.b64decode(message[name]))
            stream.buffer.flush()


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect INT, TERM and HUP, so that the command in the guest can be ended first."""
    caught: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda n, _: caught.append(n)) for number in numbers}
    try:
        yield caught
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _raw_terminal(wanted: bool) -> Iterator[None]:
    if not wanted or not sys.stdin.isatty():
        yield
        return
    before = termios.tcgetattr(0)
    try:
        tty.setraw(0)
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
