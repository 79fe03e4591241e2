# SPDX-License-Identifier: Apache-2.0
"""What the kernel's status line of a multipath map tells."""

from __future__ import annotations

from collections.abc import Iterable


def active_paths(text: str) -> int:
    """How many paths are active in a status line (Linux, drivers/md/dm-mpath.c).

    ``multipath #features.. #handler.. #groups next {state #args.. #paths #per-path {dev A|F ..}}``
    """
    words = iter(text.split())
    if next(words, '') != 'multipath':
        return 0
    active = 0
    try:
        _skip(words)  # Features.
        _skip(words)  # Hardware handler.
        groups = int(next(words))
        next(words)  # The group to be used next.
        for _ in range(groups):
            next(words)  # The group's state.
            _skip(words)  # The path selector's words on the group.
            paths, extra = int(next(words)), int(next(words))
            for _ in range(paths):
                next(words)  # major:minor
                active += next(words) == 'A'
                for _ in range(1 + extra):  # The count of failures, the selector's words.
                    next(words)
    except (StopIteration, ValueError):
        return active
    return active


def _skip(words: Iterable[str]) -> None:
    """Pass over a count and as many words."""
    stream = iter(words)
    for _ in range(int(next(stream))):
        next(stream)
