# SPDX-License-Identifier: Apache-2.0
"""Work that goes on after an operation has returned, until it is done or called off."""

from __future__ import annotations

from collections.abc import Callable
import threading

from oslo_context import context
from oslo_log import log as logging

LOG = logging.getLogger(__name__)

_guard = threading.Lock()
_running: dict[str, list[threading.Event]] = {}


def follow(key: str, what: str, step: Callable[[], bool], pauses: tuple[float, float]) -> None:
    """Call ``step`` in a thread of its own again and again until it answers ``True``.

    An error of the step is logged, and the next try comes after the next pause.

    :param key: what the work belongs to, for :func:`stop`.
    :param what: what is done, for the log.
    :param pauses: the first and the longest pause in seconds; each is twice the one before.
    """
    called_off = threading.Event()
    with _guard:
        _running.setdefault(key, []).append(called_off)
    request = context.get_current()

    def run() -> None:
        if request is not None:
            request.update_store()
        try:
            _repeat(step, what, pauses, called_off)
        finally:
            _drop(key, called_off)

    threading.Thread(target=run, name=f'os-brick {what}', daemon=True).start()


def _repeat(
    step: Callable[[], bool], what: str, pauses: tuple[float, float], called_off: threading.Event
) -> None:
    pause, longest = pauses
    while not called_off.wait(pause):
        pause = min(pause * 2, longest)
        try:
            if step():
                return
        except Exception as error:  # noqa: BLE001 the next try may go better
            LOG.info('%s: not yet: %s', what, error)


def _drop(key: str, called_off: threading.Event) -> None:
    with _guard:
        events = _running.get(key, [])
        if called_off in events:
            events.remove(called_off)
        if not events:
            _running.pop(key, None)


def stop(key: str) -> None:
    """Call off what goes on for ``key``: no step begins after this."""
    with _guard:
        events = _running.pop(key, [])
    for event in events:
        event.set()
