# SPDX-License-Identifier: Apache-2.0
"""Paths with every symbolic link followed, by the kernel where that is quicker."""

from __future__ import annotations

import os

from os_brick.core import absence

_DELETED = ' (deleted)'


def path(text: str, *, by_kernel: bool) -> str:
    """A path with every link followed; parts that do not exist stay as they are.

    :param by_kernel: whether there are many links in it. Of a path in sysfs Python asks for each of
        ten parts, and again after each link.
    :raises OSError: if the kernel cannot tell, by an error that does not mean that it is not there.
    """
    found = _asked(text) if by_kernel else None
    return os.path.realpath(text) if found is None else found


def _asked(text: str) -> str | None:
    """The kernel's own spelling of what a path leads to; ``None`` where it has none.

    Nothing is opened: a driver is not asked (open(2), O_PATH).
    """
    try:
        descriptor = os.open(text, os.O_PATH | os.O_CLOEXEC)
    except ValueError:
        return None
    except OSError as error:
        absence.require(error, text)
        return None
    try:
        found = os.readlink(f'/proc/self/fd/{descriptor}')
    except OSError:  # No /proc.
        return None
    finally:
        os.close(descriptor)
    # It has gone meanwhile, or is none of a file system: ``pipe:[7]``.
    return found if found.startswith('/') and not found.endswith(_DELETED) else None
