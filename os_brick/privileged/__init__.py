# SPDX-License-Identifier: Apache-2.0
"""What runs as root: functions of modules in this package, in one daemon.

There is one context, because the sudoers and rootwrap files of every deployment
allow just ``os_brick.privileged.default``. Nothing more than that is made here:
the daemon imports this module before it answers.
"""

from collections.abc import Callable
import functools
from typing import Any, ParamSpec, TypeVar, cast

from oslo_config import cfg
from oslo_privsep import capabilities as c
from oslo_privsep import priv_context

from os_brick import opts  # noqa: F401 registers [os_brick]
from os_brick.privileged import bounding, connection

P = ParamSpec('P')
R = TypeVar('R')

_SECTION = 'privsep_osbrick'
_PATH = 'os_brick.privileged.default'

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
    pypath=_PATH,
    capabilities=capabilities,
    logger_name='os_brick.privileged',
)
# A default only: what the operator configures still wins.
cfg.CONF.set_default('thread_pool_size', _THREADS, group=_SECTION)

# A name that others may import. A result that is a secret has to hide itself, as the
# daemon logs each answer at DEBUG.
brick_privsep_hide_output = default


# Only privsep-helper has this option; it imports this module to become the daemon.
if 'privsep_context' in cfg.CONF and cfg.CONF.privsep_context == _PATH:
    # To see which devices processes of other users have open (Linux, fs/proc/fd.c,
    # proc_fd_access_allowed). A container that was given just the capabilities above has none to
    # add, and the daemon would not start there with it in its list.
    if bounding.allows(c.CAP_SYS_PTRACE):
        _more = [*capabilities, c.CAP_SYS_PTRACE]
        cfg.CONF.set_default('capabilities', _more, group=_SECTION)
    bounding.reduce(default.conf.capabilities)

_connection = connection.Connection(default)


def entrypoint(func: Callable[P, R]) -> Callable[P, R]:
    """Return ``func`` such that a call runs in the daemon; the signature stays visible.

    Its limit is its argument ``timeout``, else that of a call that takes a moment.

    :raises OperationTimedOut: from each call, if the daemon does not answer within the limit.
    :raises OSError: from each call, if the daemon dies meanwhile.
    """
    code = cast(Any, func).__code__
    names = code.co_varnames[: code.co_argcount]
    if 'timeout' not in names:
        return limited(connection.PLAIN_SECONDS, connection.SHORT)(func)
    return limited(_Timeout(names.index('timeout')))(func)


class _Timeout:
    """The limit of a call that has it as an argument."""

    def __init__(self, place: int) -> None:
        self._place = place

    def __call__(self, *args: Any, **kwargs: Any) -> float:
        return float(kwargs['timeout'] if 'timeout' in kwargs else args[self._place])

    def replaced(self, left: float, args: Any, kwargs: dict[str, Any]) -> tuple[Any, Any]:
        """Return the arguments with what is left of the limit in its place."""
        if 'timeout' in kwargs:
            return args, {**kwargs, 'timeout': left}
        return (*args[: self._place], left, *args[self._place + 1 :]), kwargs


def limited(
    seconds: float | Callable[..., float | None], lane: str | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator like :func:`entrypoint` for a function with another limit.

    :param seconds: the limit, or what tells it of the arguments; ``None`` for no limit.
    :param lane: which threads of the daemon it may use; by default the limit says so.
    """

    def decorate(func: Callable[P, R]) -> Callable[P, R]:
        wrapped: Any = default.entrypoint(func)
        module, name = func.__module__, cast(Any, func).__name__

        @functools.wraps(func)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            if not default.client_mode:
                return cast(R, _run(wrapped, name, args, kwargs))
            limit = seconds(*args, **kwargs) if callable(seconds) else seconds
            which = lane or connection.lane_of(limit)
            replace = seconds.replaced if isinstance(seconds, _Timeout) else None
            order = connection.Order(f'{module}.{name}', args, kwargs, which, limit, replace)
            return cast(R, _connection.call(order))

        # privsep finds the function by module and name, and asks the object found there whether
        # it is an entry point.
        vars(call).update(vars(wrapped))
        return call

    return decorate


def _run(wrapped: Any, name: str, args: Any, kwargs: dict[str, Any]) -> Any:
    """Run a root function in this process: in the daemon, or where the service is root."""
    connection.require_in_time(name, kwargs.pop(connection.BEGIN_BY, None))
    try:
        return wrapped(*args, **kwargs)
    except Exception as error:
        # Not by class: to import our errors would make the daemon's start slower.
        if hasattr(error, 'portable_args'):
            # The daemon sends class and arguments, and the client rebuilds the error of them.
            error.args = error.portable_args()
        raise
