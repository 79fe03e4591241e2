# SPDX-License-Identifier: Apache-2.0
"""Looks of those who only show or advise: what cannot be read is passed over.

A command may run as any user, to whom much of a host is closed. No decision on what is here, in
use, or to be removed may rest on these; for such there is :mod:`os_brick.core.files`.
"""

from __future__ import annotations

from os_brick.core import files


def read_or(path: str, default: str = '') -> str:
    """The text of a file, or ``default`` where it cannot be read."""
    try:
        return files.read(path)
    except OSError:
        return default


def names(directory: str) -> list[str]:
    """The sorted names in a directory; none where it cannot be listed."""
    try:
        return files.names(directory)
    except OSError:
        return []


def exists(path: str) -> bool:
    """Whether something is seen at ``path``; a dangling link does not count."""
    try:
        return files.exists(path)
    except OSError:
        return False


def is_directory(path: str) -> bool:
    """Whether a directory is seen at ``path``."""
    try:
        return files.is_directory(path)
    except OSError:
        return False


def inode(path: str) -> int:
    """The number of a file or directory; 0 if it is not seen."""
    try:
        return files.inode(path)
    except OSError:
        return 0
