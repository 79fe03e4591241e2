# SPDX-License-Identifier: Apache-2.0
"""Reads the notes of attaches, as far as the rules need them."""

from __future__ import annotations

from collections.abc import Iterable

from os_brick import opts
from os_brick.core import trace
from os_brick.doctor import facts
from os_brick.doctor.readers.look import Look
from os_brick.host import notes as host_notes
from os_brick.model import note


def notes(look: Look, services: Iterable[facts.Service]) -> tuple[facts.SeenNote, ...]:
    """The notes of the volumes that are attached, or about to be, of every service."""
    more = [place for each in services for place in each.note_paths]
    noted = host_notes.every(opts.current().state_path, more)
    for unread in noted.unread:
        look.miss('notes', unread.what, unread.why)
    return tuple(map(_seen, noted.notes))


def _seen(found: note.Note) -> facts.SeenNote:
    work = found.work
    process = work.process if work else found.process
    return facts.SeenNote(
        str(trace.masked(found.volume_id or found.key)),
        found.protocol,
        work.operation if work else 'attached',
        (found.device,) if found.device else (),
        (found.identity,) if found.identity else (),
        f'{process.program or "process"} {process.pid}' if process else '',
        work is not None and host_notes.is_running(work.process) is False,
    )
