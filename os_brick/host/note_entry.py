# SPDX-License-Identifier: Apache-2.0
"""Writes what is noted of a volume, for one operation on it; :mod:`os_brick.host.notes` has what.

Nothing here stops an operation: what cannot be written or read is reported once in the log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
import contextlib
import dataclasses
import json
import os
import re
import threading
from typing import Any

from oslo_log import log as logging

from os_brick.core import atomic, clock, forked, observe, shared_files, trace
from os_brick.host import block, links, namesakes, notes
from os_brick.initiator import properties
from os_brick.model import note

LOG = logging.getLogger(__name__)
Raw = Mapping[str, Any]

# Readable by all, if the directory is: what is in it is in sysfs, too, or was named by a caller.
_MODE = 0o644
# Linux, PATH_MAX, less what tells of the process and of the step.
_LONGEST_MARK_BYTES = 4095 - 800
_LONGEST_ID = 255
_LONGEST_KEY = 1024
_MOST_VALUES = 4096
_USER_OF_URL = re.compile(r'://[^/@\s]*@')
# The keys that connectors know, and that are no secrets.
_KNOWN = frozenset(
    name
    for kind in vars(properties).values()
    for name in getattr(kind, '__annotations__', ())
    if isinstance(kind, type) and not trace.is_secret(name) and name != 'options'  # Of mount.
)

# By protocol, names of properties that look like those of secrets. Without its user a cluster of
# Ceph is not asked which image a device is; the user's key is a secret, and is not noted.
_PLAIN = {'rbd': ('auth_username',)}

# How the text of an operation ends that has reached no step.
_NO_STEP = '""}'
_NO_WORK = note.Work('', note.Process('', 0, 0, 0), 0.0)

_guard = forked.Guard()
_reported: set[str] = set()


class Entry:
    """The note of one volume, for one operation on it: a ledger of ``core/operation``."""

    def __init__(
        self, properties: object, state_path: str, key: str = '', *, has_namesakes: bool = False
    ) -> None:
        """Take what the caller has passed.

        :param properties: as the caller passed them, secrets included.
        :param key: what the volume is noted by, if that is not what it is locked by.
        :param has_namesakes: whether other volumes may be locked by the same, and attached.
        """
        self._raw: Raw = properties if isinstance(properties, Mapping) else {}
        self._place = state_path
        self._now = note.Note(key=key)
        self._has_namesakes = has_namesakes
        self._places = namesakes.Places(())
        self._work = _NO_WORK
        self._start = ''
        self._guard = threading.Lock()
        self._directory: int | None = None

    def course(self, name: str, key: str) -> observe.Course:
        """The operation, with what is known of its volume."""
        key = self._now.key or key
        if len(key) > _LONGEST_KEY:
            key = f'{key[:_LONGEST_KEY]} {notes.digest(key)}'
        protocol = key.partition(' ')[0]
        volume, attachment = (self._id(which) for which in ('volume_id', 'attachment_id'))
        self._now = note.Note(
            key=key, protocol=protocol, volume_id=volume, attachment_id=attachment
        )
        return observe.Course(name, key, protocol=protocol, volume=volume, attachment=attachment)

    def _id(self, which: str) -> str:
        found = self._raw.get(which)
        return trace.one_line(found[:_LONGEST_ID]) if isinstance(found, str) else ''

    @property
    def known(self) -> note.Note | None:
        """What was noted of the volume when the operation began."""
        return self._places.kept.get(self._now.key)

    def begin(self, course: observe.Course) -> None:
        """Mark the operation as begun, and look what is noted."""
        with self._reporting('directory'):
            self._work = note.Work(course.operation, notes.process(), clock.wall())
            self._directory = directory = shared_files.open_directory(notes.place(self._place))
            self._look(directory)
            self._mark(directory, shared_files.set_mark)

    def _look(self, directory: int) -> None:
        """Look what is noted of the name, and choose what the volume is noted by."""
        places = namesakes.Places.of(self._now.key, has_namesakes=self._has_namesakes)
        for key in places.keys:
            with self._reporting('note'):
                try:
                    found = notes.load(directory, key)
                except OSError:
                    places.unread.update({key} if self._has_namesakes else ())
                    raise
                if found is not None:
                    places.kept[key] = found
        self._places = places
        with self._reporting('note'):
            self._now = dataclasses.replace(self._now, key=places.begun(self._now.volume_id))

    def reach(self, step: str) -> None:
        """Mark a step as begun."""
        with self._guard:
            if self._directory is not None and self._work.reached != step:
                self._work = dataclasses.replace(self._work, reached=step)
                self._mark(self._directory, shared_files.replace_mark)

    def _mark(self, directory: int, write: Callable[[int, str, str], None]) -> None:
        """Set the mark, shortened to what a link can hold."""
        with self._reporting('mark'):
            if not self._start:
                self._start = self._mark_start()
            reached = json.dumps(self._work.reached)
            write(directory, _named(notes.MARK, self._now.key), f'{self._start}{reached}}}}}')

    def _mark_start(self) -> str:
        """What does not change of the mark, up to the step that the work has reached."""
        # Where there is a note it has the properties, and counts.
        text = notes.text(self._now if self.known is not None else self._with_properties())
        if len(text.encode()) > _LONGEST_MARK_BYTES:
            text = notes.text(dataclasses.replace(self._now, properties={}))
        work = notes.work_text(dataclasses.replace(self._work, reached=''))
        return f'{text.removesuffix("}")},"work":{work.removesuffix(_NO_STEP)}'

    def _with_properties(self) -> note.Note:
        """What is known now, with what the caller passed; that takes a thousand calls."""
        if not self._now.properties:
            with self._reporting('note'):
                found = _properties(self._raw, _PLAIN.get(self._now.protocol, ()))
                self._now = dataclasses.replace(self._now, properties=found)
        return self._now

    def end(self, course: observe.Course, error: BaseException | None) -> None:
        """Note how the operation has ended; one file is written, and the mark goes."""
        with self._guard:
            directory, self._directory = self._directory, None
        if directory is None:
            return
        try:
            with self._reporting('note'):
                self._note(directory, course, error)
        finally:
            self._unmark(directory)

    def _unmark(self, directory: int) -> None:
        try:
            with self._reporting('mark'):
                # Under the lock of the name there is no other one.
                for key in self._places.keys:
                    atomic.unlink_in(directory, _named(notes.MARK, key), durable=False)
        finally:
            os.close(directory)

    def _note(self, directory: int, course: observe.Course, error: BaseException | None) -> None:
        before, past = self.known, _past(course, error)
        is_done = past.outcome == observe.DONE
        if is_done and course.operation == observe.ATTACH:
            found = self._attached(course)
            found = dataclasses.replace(found, key=self._places.attached(found))
            self._write(directory, found, past)
            if kept := self._forgotten(directory, but=found.key):
                _append(directory, kept)
        elif is_done and course.operation == observe.EXTEND and before is not None:
            self._write(directory, before, past)
        elif is_done and course.operation == observe.DETACH:
            kept = self._forgotten(directory)
            self._forget_elsewhere(directory)
            _append(directory, (*kept, past))
        else:
            _append(directory, [past])

    def _forgotten(self, directory: int, but: str = '') -> list[note.Past]:
        """Remove the notes of volumes of the name that are gone; return what was kept with them."""
        gone = [each for each in self._places.keys if each != but and self._forget(directory, each)]
        kept = [self._places.kept[each].past for each in gone if each in self._places.kept]
        return [past for each in kept for past in each]

    def _forget(self, directory: int, key: str) -> bool:
        """Remove a note, unless it is, or may be, that of another volume of the name."""
        if len(self._places.keys) > 1:
            try:
                if self._places.is_anothers(notes.load(directory, key)):
                    return False
            except OSError:
                return False
            except ValueError:
                pass  # Garbage is no one's.
        atomic.unlink_in(directory, _named(notes.NOTE, key), durable=False)
        return True

    def _forget_elsewhere(self, directory: int) -> None:
        """Remove the note of a service that keeps its notes in another place, where possible."""
        for place in notes.places(self._place):
            with contextlib.suppress(OSError), shared_files.directory(place) as other:
                if not os.path.sameopenfile(directory, other):
                    for key in self._places.keys:
                        self._forget(other, key)

    def _write(self, directory: int, found: note.Note, past: note.Past) -> None:
        before = self._places.kept.get(found.key)
        kept = (*(before.past if before is not None else ()), past)
        data = notes.text(dataclasses.replace(found, past=kept[-note.MOST_PAST :])).encode()
        name = _named(notes.NOTE, found.key)
        atomic.replace_in(directory, name, data, _MODE, durable=False)

    def _attached(self, course: observe.Course) -> note.Note:
        result = _shown(trace.masked(dict(course.result or {})))
        device = _device(course.result or {})
        return dataclasses.replace(
            self._with_properties(),
            result=result,
            device=device,
            number=block.inode(device) if device else 0,
            identity=course.identity or str(result.get('scsi_wwn') or ''),
            wanted=course.wanted,
            ready=course.ready,
            process=notes.process(),
            at=clock.wall(),
        )

    def forget(self) -> None:
        """Remove the note of a volume whose detach is not an operation."""
        with (
            self._reporting('note'),
            shared_files.directory(notes.place(self._place)) as directory,
        ):
            atomic.unlink_in(directory, _named(notes.NOTE, self._now.key), durable=False)

    @contextlib.contextmanager
    def _reporting(self, what: str) -> Iterator[None]:
        """Have an error be reported once, and nothing more."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 whatever it is, the operation goes on
            _report(f'{what} of {self._now.key}' if what == 'note' else what, self._place, error)


def _named(kind: str, key: str) -> str:
    return f'{kind}{notes.digest(key)}'


def _properties(raw: Raw, plain: Iterable[str] = ()) -> dict[str, Any]:
    """The properties that are known to be no secrets, or nothing if they are too large to be kept.

    Drivers of others pass what they like, a password under a name of their own among it.

    :param plain: those that are no secrets, though their names look so.
    """
    known = {name: value for name, value in raw.items() if name in _KNOWN}
    if _values(known, _MOST_VALUES) >= _MOST_VALUES:
        return {}
    texts = {name: raw[name] for name in plain if isinstance(raw.get(name), str)}
    found: dict[str, Any] = _shown({**trace.masked(known), **texts})
    return found if len(json.dumps(found)) < notes.LARGEST_BYTES // 2 else {}


def _values(value: object, most: int) -> int:
    """How many values there are in one, up to so many."""
    count = 1
    if isinstance(value, Mapping):
        value = value.values()
    if isinstance(value, Iterable) and not isinstance(value, str | bytes):
        for each in value:
            if count >= most:
                break
            count += _values(each, most - count)
    return count


def _shown(value: Any) -> Any:
    """Plain values whose texts are lines."""
    if isinstance(value, Mapping):
        return {_line(str(name)): _shown(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_shown(each) for each in value]
    if isinstance(value, int | float) and not -note.LARGEST <= value <= note.LARGEST:
        return None
    return _line(value) if isinstance(value, str) else value


def _line(text: str) -> str:
    return trace.one_line(_USER_OF_URL.sub(f'://{trace.HIDDEN}@', text))[: note.LONGEST_TEXT]


def _device(result: Raw) -> str:
    path = result.get('path')
    if not isinstance(path, str):
        return ''
    directory, _, name = path.rpartition('/')
    return name if directory == '/dev' else block.name_of(links.device_of(path)) or ''


def _past(course: observe.Course, error: BaseException | None) -> note.Past:
    return note.Past(
        *(course.operation, course.protocol, course.outcome(error), clock.wall()),
        *(round(course.seconds, 3), round(course.lock_seconds, 3), course.code(error)),
    )


def _append(directory: int, past: Iterable[note.Past]) -> None:
    lines = [json.dumps(each.as_dict(), separators=(',', ':')) for each in past]
    data = ''.join(f'{line}\n' for line in lines).encode()
    name = f'{notes.LIST}{os.geteuid()}'
    shared_files.append_in(directory, name, data, notes.LARGEST_LIST_BYTES)


def _report(what: str, place: str, error: Exception) -> None:
    with _guard:
        is_new = f'{place} {what}' not in _reported
        _reported.add(f'{place} {what}')
    if is_new:
        LOG.warning('The %s in %s (or beside the locks) is not used: %s', what, place, error)
