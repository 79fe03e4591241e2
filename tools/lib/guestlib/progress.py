# SPDX-License-Identifier: Apache-2.0
"""Progress lines on standard error, so that standard output stays the command's own."""

import sys
import time

_START = time.monotonic()


class Failure(Exception):
    """What went wrong, in words for the person at the terminal; no traceback is shown."""

    def __init__(self, message: str, status: int = 99) -> None:
        super().__init__(message)
        self.status = status


def line(text: str) -> None:
    """Print one progress line with the seconds since the start."""
    print(f'[guest {time.monotonic() - _START:6.1f} s] {text}', file=sys.stderr, flush=True)
