# SPDX-License-Identifier: Apache-2.0
"""The suites of this machine, in a process of their own beside the guest."""

from collections.abc import Iterator
import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
from typing import Any

# Tests in the guest wait for a third of their time, on a machine of two processors; what is left of
# them is enough for the unit tests. These give way to the guest, whose tests have bounds of time.
_NICE = 10
_WORKERS = 2
_KILL_AFTER_SECONDS = 20


@dataclasses.dataclass
class Beside:
    """A process of tools/test that runs the unit tests."""

    process: subprocess.Popen[bytes]
    output: pathlib.Path
    counts: pathlib.Path

    def outcomes(self) -> list[dict[str, Any]]:
        """Wait for the end, print what it has printed, and return its counts.

        Empty if the process ended without counts.
        """
        self.process.wait()
        print(self.output.read_text(errors='replace'), end='', flush=True)
        try:
            return [dict(row) for row in json.loads(self.counts.read_text())]
        except (OSError, ValueError):
            return []


@contextlib.contextmanager
def unit_tests(tool: pathlib.Path, words: list[str], seconds: float) -> Iterator[Beside]:
    """Run ``tools/test --unit`` beside what the caller does; it is ended when the caller is."""
    with tempfile.TemporaryDirectory() as directory:
        output, counts = pathlib.Path(directory, 'output'), pathlib.Path(directory, 'counts')
        command = [sys.executable, str(tool), '--unit', '--workers', str(_WORKERS)]
        command += ['--unit-timeout', str(seconds), '--counts', str(counts), *words]
        with output.open('wb') as file:
            process = subprocess.Popen(
                ['nice', '-n', str(_NICE), *command],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield Beside(process, output, counts)
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and all that it has started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_KILL_AFTER_SECONDS)
            return
