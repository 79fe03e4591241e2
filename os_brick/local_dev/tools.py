# SPDX-License-Identifier: Apache-2.0
"""How a class of this package comes by LVM's tools: for one operation, with one deadline."""

from __future__ import annotations

from collections.abc import Callable
import functools
import os
from typing import Any, ParamSpec, TypeVar, cast

from os_brick import executor, opts
from os_brick.core import files, wait
from os_brick.host import lvm as host

P = ParamSpec('P')
R = TypeVar('R')

# What each command line of LVM begins with: its texts are read.
PREFIX = ('env', 'LC_ALL=C')


def prefix(first: list[str], lvm_conf: Any, *, suppress_fd_warn: bool) -> list[str]:
    """What the command lines of one instance begin with."""
    words = list(first)
    conf = str(lvm_conf or '')
    if conf and files.exists(conf) and not files.is_directory(conf):
        words.append(f'LVM_SYSTEM_DIR={os.path.dirname(os.path.abspath(conf))}')
    if suppress_fd_warn:
        words.append('LVM_SUPPRESS_FD_WARNINGS=1')
    return words


def begin(execute: Callable[..., Any], root_helper: str | None, words: list[str]) -> host.Tools:
    """LVM's tools for one operation, which ends by ``[os_brick] operation_timeout``."""
    deadline = wait.Deadline.after(opts.current().operation_seconds)
    return host.Tools(execute, root_helper, tuple(words), deadline)


def of(root_helper: Any) -> host.Tools:
    """The tools of the instance that a static method was called on, or the root daemon's."""
    if isinstance(root_helper, host.Tools):
        return root_helper
    return begin(executor.Executor(root_helper)._execute, root_helper, list(PREFIX))


class _Static(staticmethod):  # type: ignore[type-arg]
    """A static method that hands on the tools of the instance that it is called on."""

    def __get__(self, instance: Any, owner: type | None = None) -> Callable[..., Any]:
        function = super().__get__(instance, owner)
        if instance is None:
            return function

        @functools.wraps(function)
        def call(root_helper: Any, *args: Any, **kwargs: Any) -> Any:
            return function(instance._tools(root_helper), *args, **kwargs)

        return call


def on_instances(function: Callable[P, R]) -> Callable[P, R]:
    """Have a static method use :func:`of`: called on an instance, it runs programs as that does."""
    plain = getattr(function, '__func__', function)
    return cast(Callable[P, R], _Static(plain))
