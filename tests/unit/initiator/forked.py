# SPDX-License-Identifier: Apache-2.0
"""Runs part of a test in a process forked from this one."""

from collections.abc import Callable
import faulthandler
import os
import signal
import traceback

_SECONDS = 20


def status(act: Callable[[], object]) -> int:
    """The exit status of a forked process that does ``act``: 0 if it raises nothing, and ends."""
    child = os.fork()
    if not child:
        # A call into a library without its threads would wait for ever. Not by
        # dump_traceback_later, which waits for the thread that does the same in the parent.
        faulthandler.register(signal.SIGALRM, all_threads=True, chain=True)
        signal.alarm(_SECONDS)
        code = 1
        try:
            act()
            code = 0
        except BaseException:
            # Nothing may come back into the test.
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
