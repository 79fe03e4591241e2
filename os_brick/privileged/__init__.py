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


def entrypoint(func: Callable[P, R]) -> Callable[P, R]:
    """Return ``func`` such that a call runs in the daemon; the signature stays visible.

    privsep finds the function by module and name, and asks the object found there
    whether it is an entry point, so the object that privsep makes is handed back.
    """
    wrapped: Any = default.entrypoint(func)
    return cast(Callable[P, R], functools.update_wrapper(wrapped, func))
