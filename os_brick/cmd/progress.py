# SPDX-License-Identifier: Apache-2.0
"""What is told of a change while it is made: steps as they end, or one line on a terminal."""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import threading

from os_brick.cmd.output import Console
from os_brick.core import observe

# What takes longer is told on a terminal, and how often.
_SILENT_SECONDS = 1.0


class Told:
    """What is told of a change while it is made."""

    def __init__(self, console: Console, *, steps: bool) -> None:
        self._console = console
        self._shows_steps = steps
        self.steps: list[observe.Step] = []
        self.ended: observe.Ended | None = None

    @property
    def outcome(self) -> str:
        """How the operation has ended; empty if it has not begun."""
        return self.ended.outcome if self.ended is not None else ''

    def hear(self, record: observe.Record) -> None:
        """Take a record."""
        if isinstance(record, observe.Ended):
            self.ended = record
        elif isinstance(record, observe.Step):
            self.steps.append(record)
            if self._shows_steps:
                failed = f'   {record.code}' if record.code else ''
                ends = record.since + record.seconds
                self._print(f'{ends:8.3f}  {record.name:12} {record.thing}{failed}')

    def _print(self, line: str) -> None:
        console = self._console
        console.stderr.write(f'{console.spelled(console.plain(line))}\n')

    @contextlib.contextmanager
    def progress(self, name: str) -> Iterator[None]:
        """On a terminal, tell what is going on when it takes longer than a second."""
        if self._shows_steps or not self._console.stderr.isatty():
            yield
            return
        is_over = threading.Event()
        thread = threading.Thread(target=self._tick, args=(name, is_over), daemon=True)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()

    def _tick(self, name: str, is_over: threading.Event) -> None:
        seconds = 0
        while not is_over.wait(_SILENT_SECONDS):
            seconds += 1
            last = self.steps[-1] if self.steps else None
            after = f', after {last.name} {last.thing}'[:60] if last else ''
            line = self._console.spelled(self._console.plain(f'{name}: {seconds} s{after}'))
            self._console.stderr.write(f'\r{line:78}')
            self._console.stderr.flush()
        if seconds:
            self._console.stderr.write(f'\r{"":78}\r')
