# SPDX-License-Identifier: Apache-2.0
"""What runs as root: functions of modules in this package, in one daemon.

There is one context, because the sudoers and rootwrap files of every deployment
allow just ``os_brick.privileged.default``. Nothing more than that is made here:
the daemon imports this module before it answers.
"""

from collections.abc import Callable
import errno
import functools
import os
import threading
from typing import Any, ParamSpec, TypeVar, cast

from oslo_config import cfg
from oslo_privsep import capabilities as c
from oslo_privsep import priv_context

P = ParamSpec('P')
R = TypeVar('R')

_SECTION = 'privsep_osbrick'

# SYS_ADMIN for the kernel's interfaces of storage. DAC_READ_SEARCH so that the
# daemon can import this code from a directory of another user.
capabilities = [c.CAP_SYS_ADMIN, c.CAP_DAC_READ_SEARCH]

# oslo.privsep's default is the number of processors: on a small host, two logins
# that hang would keep every other call waiting. Idle threads cost nothing, they
# are started when they are needed.
_THREADS = 64

default = priv_context.PrivContext(
    'os_brick.privileged',
    cfg_section=_SECTION,
    pypath='os_brick.privileged.default',
    capabilities=capabilities,
    logger_name='os_brick.privileged',
)
# A default only: what the operator configures still wins.
cfg.CONF.set_default('thread_pool_size', _THREADS, group=_SECTION)

# A name that others may import. A result that is a secret has to hide itself, as the
# daemon logs each answer at DEBUG.
brick_privsep_hide_output = default


_watched: tuple[int, object] | None = None
_watch_guard = threading.Lock()


def _end_waits(channel: Any) -> None:
    """Have nobody wait for a daemon that has died, and the next call start another one.

    oslo.privsep sees to that where it reads the end of the connection. Where the daemon had not
    read a request yet, it gets ECONNRESET instead, its reader dies, and callers wait for ever.
    """
    channel.reader_thread.join()
    with channel.lock:
        if channel.running:
            channel.running = False
            for answer in channel.outstanding_msgs.values():
                answer.set_exception(OSError(errno.EPIPE, 'The privileged daemon has died'))


def _watch() -> None:
    global _watched  # noqa: PLW0603 there is one daemon
    channel = default.channel
    # A forked process has the channel, and nobody who reads it.
    found = (os.getpid(), channel)
    if channel is None or found == _watched:
        return
    with _watch_guard:
        if found != _watched:
            _watched = found
            threading.Thread(target=_end_waits, args=(channel,), daemon=True).start()


def entrypoint(func: Callable[P, R]) -> Callable[P, R]:
    """Return ``func`` such that a call runs in the daemon; the signature stays visible.

    :raises OSError: from each call, if the daemon dies meanwhile.
    """
    wrapped: Any = default.entrypoint(func)

    @functools.wraps(func)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if default.client_mode:
            if default.channel is None:
                default.start()
            _watch()
        try:
            return cast(R, wrapped(*args, **kwargs))
        except Exception as error:
            # Not by class: to import our errors would make the daemon's start slower.
            if not default.client_mode and hasattr(error, 'portable_args'):
                # The daemon sends class and arguments, and the client rebuilds the error of them.
                error.args = error.portable_args()
            raise

    # privsep finds the function by module and name, and asks the object found there whether it
    # is an entry point.
    vars(call).update(vars(wrapped))
    return call
