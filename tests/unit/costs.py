# SPDX-License-Identifier: Apache-2.0
"""Counts what an operation asks of the host: accesses to files, and calls of root functions.

And of the processor: calls of functions, of which each takes 2 to 5 us in the emulated guest.

Calls of the operating system are counted where they are made, in ``core/files``; a call of a root
function is a call of what oslo.privsep has wrapped.
"""

import builtins
import io
import os
import queue
import sys
import threading
from types import FrameType
from typing import Any, Self

from oslo_privsep import priv_context

from os_brick.core import files

_ACCESSES = {
    *(builtins.open, io.open, os.open, os.stat, os.lstat, os.readlink, os.listdir, os.scandir),
    *(os.access, os.unlink, os.rename, os.mkdir, os.rmdir, os.symlink),
}


class Costs(threading.local):
    """How deep a thread is in what is counted."""

    def __init__(self) -> None:
        self.in_files = 0
        self.in_root = 0


class Profile:
    """Is told of what every thread calls, while it is open."""

    def __enter__(self) -> Self:
        self._before = sys.getprofile()
        threading.setprofile(self._note)
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_error: object) -> None:
        sys.setprofile(self._before)
        threading.setprofile(None)

    def _note(self, frame: FrameType, event: str, argument: Any) -> None:
        raise NotImplementedError


class Counter(Profile):
    """Counts in all threads while it is open.

    :ivar accesses: files opened, listed, looked at, followed or changed.
    :ivar root_calls: calls of root functions, each a trip to the daemon of a service.
    """

    def __init__(self) -> None:
        self.accesses = 0
        self.root_calls = 0
        self._depth = Costs()

    def _note(self, frame: FrameType, event: str, argument: object) -> None:
        depth = self._depth
        if event == 'c_call':
            # Not every built-in function can be hashed.
            self.accesses += depth.in_files > 0 and any(argument is each for each in _ACCESSES)
            return
        step = {'call': 1, 'return': -1}.get(event, 0)
        code = frame.f_code
        if code.co_filename == files.__file__:
            depth.in_files = max(0, depth.in_files + step)
        elif code.co_filename == priv_context.__file__ and code.co_name == '_wrap':
            self.root_calls += step == 1 and not depth.in_root
            depth.in_root = max(0, depth.in_root + step)


class _Depth(threading.local):
    """The functions that a thread is in, each with whether it is a test's."""

    def __init__(self) -> None:
        self.calls: list[bool] = []


class Effort(Profile):
    """Counts the calls of functions, in Python and built in, in all threads while it is open.

    What the fake host does for them, and a wait of a thread for another, is left out.

    :ivar calls: how many there were.
    """

    _TESTS = os.path.dirname(os.path.abspath(__file__))
    _WAITS = (threading.__file__, queue.__file__)

    def __init__(self) -> None:
        self.calls = 0
        self._depth = _Depth()

    def _note(self, frame: FrameType, event: str, argument: Any) -> None:
        calls, name = self._depth.calls, frame.f_code.co_filename
        if event == 'call':
            calls.append(name.startswith(self._TESTS) or (bool(calls) and calls[-1]))
        elif event == 'return' and calls:
            calls.pop()
        is_ours = name not in self._WAITS and not (calls and calls[-1])
        self.calls += event in ('call', 'c_call') and is_ours
