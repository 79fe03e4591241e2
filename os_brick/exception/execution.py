# SPDX-License-Identifier: Apache-2.0
"""The one error that is a kind of oslo.concurrency's, and is loaded when it is asked for.

oslo.concurrency's processutils compiles 400 regular expressions, for 70 ms, which the privileged
daemon would need before its first answer (oslo.utils 10.2, ``strutils``).
"""

from oslo_concurrency import processutils as putils


class ExecutionTimeout(putils.ProcessExecutionError):  # type: ignore[misc, unused-ignore]
    """A program was killed because it did not end within its time limit.

    It hangs, or what it waits for does. The description has the limit.
    """
