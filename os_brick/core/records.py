# SPDX-License-Identifier: Apache-2.0
"""The records of operations that listeners are told of; see :mod:`os_brick.core.observe`."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, slots=True)
class Started:
    """An operation has begun; it may wait for its lock.

    :ivar operation: ``attach``, ``detach``, ``extend``, or another one in words.
    :ivar protocol: such as ``iscsi``; empty for what is not a volume of a protocol.
    :ivar volume: what the caller calls the volume, or what it is locked by.
    :ivar at: on :func:`clock.monotonic`.
    :ivar request_id: of the service's request, if there is one.
    :ivar number: tells this operation from others of this process, in all its records.
    """

    operation: str
    protocol: str
    volume: str
    at: float
    request_id: str = ''
    number: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """A step of an operation has ended.

    :ivar name: such as ``lock``, ``log in``, ``flush``.
    :ivar thing: what it was done with, in words.
    :ivar since: when it began, in seconds from the beginning of the operation.
    :ivar code: the class of its error; empty if there was none.
    """

    operation: str
    protocol: str
    volume: str
    name: str
    thing: str
    since: float
    seconds: float
    code: str = ''
    number: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Ended:
    """An operation has ended.

    :ivar outcome: ``done``; ``failed``, and the host is as before; ``left``: and something is not.
    :ivar code: the class of its error; empty if there was none.
    :ivar device: the device that an attach returned, such as ``dm-4``.
    :ivar wanted: the number of paths that were wanted, of which ``ready`` were open; both 0 for
        what has none.
    :ivar lock_seconds: how long it waited for its lock.
    """

    operation: str
    protocol: str
    volume: str
    outcome: str
    seconds: float
    lock_seconds: float
    code: str = ''
    device: str = ''
    wanted: int = 0
    ready: int = 0
    request_id: str = ''
    number: int = 0


def in_words(ended: Ended) -> str:
    """The facts of an end, as ``key=value``; a value with blanks has quotes."""
    facts = {
        'volume': ended.volume,
        'protocol': ended.protocol,
        'device': ended.device,
        'paths': f'{ended.ready}/{ended.wanted}' if ended.wanted else '',
        'seconds': f'{ended.seconds:.3f}',
        'lock_wait': f'{ended.lock_seconds:.3f}',
        'error': ended.code,
    }
    return ' '.join(f'{name}={_quoted(value)}' for name, value in facts.items() if value)


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '\\"') + '"' if ' ' in text or '"' in text else text
