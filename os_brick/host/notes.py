# SPDX-License-Identifier: Apache-2.0
"""What is noted of the volumes of this host: which is attached, by whom, and what is under way.

In the directory ``[os_brick] state_path``, or beside the lock files for users who cannot write to
that, there are

* a *note* for each attached volume: a file, which an attach and an extend replace as a whole and a
  detach removes;
* a *mark* for each operation under way: a link whose target says what it is. That of a process that
  was killed stays until the next operation on the volume;
* for each user a list of the last operations, to which a line is appended when an operation ends
  without writing a note. What a note has of operations is moved there by the detach.

So an operation writes one file, and a mark is not a file. All is written under the volume's lock,
by :mod:`os_brick.host.note_entry`; here it is only read.

Nothing that is noted makes a device the volume's: it can only tell that one is not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
import dataclasses
import hashlib
import json
import os
import re

from os_brick.core import files, glance, locks, shared_files, trace
from os_brick.model import note

NOTE, MARK, LIST = (f'{locks.PREFIX}{kind}-' for kind in ('note', 'doing', 'operations'))
LARGEST_BYTES = 1 << 18
# Of lines of some 200 bytes; two lists of this length are kept, so that 1,000 operations are.
LARGEST_LIST_BYTES = 1 << 18
MOST_OPERATIONS = 1000

_NAMED = re.compile(rf'(?:{NOTE}|{MARK})([0-9a-f]{{32}})')
_LISTED = re.compile(rf'{LIST}[0-9]+(?:\.1)?')
_LONGEST_PROGRAM = 255
_BOOT_ID = '/proc/sys/kernel/random/boot_id'


@dataclasses.dataclass(frozen=True, slots=True)
class Unread:
    """What could not be read, and why."""

    what: str
    why: str


@dataclasses.dataclass(frozen=True, slots=True)
class Noted:
    """All that is noted on this host.

    :ivar notes: of each volume one, with the operation that is marked as under way.
    :ivar unread: what there is besides.
    """

    notes: tuple[note.Note, ...] = ()
    unread: tuple[Unread, ...] = ()


def place(state_path: str) -> str:
    """Where this user writes notes: that directory, or that of the locks if it cannot be used.

    It is made if there is none and this user may, with the group that shares the locks.
    """
    beside = locks.directory()
    return state_path if shared_files.is_usable(state_path, beside) else beside or state_path


def places(state_path: str, more: Iterable[str] = ()) -> tuple[str, ...]:
    """Where there may be notes."""
    found = (state_path, locks.directory(), *more)
    return tuple(dict.fromkeys(each for each in found if each))


def every(state_path: str, more: Iterable[str] = ()) -> Noted:
    """What is noted on this host since it was started; nothing is changed.

    A note that this user may not read, or that another one has written who is not trusted, is
    among what is unread.

    :param more: where others have notes, see :func:`os_brick.host.service_conf.note_paths`.
    """
    return _noted(places(state_path, more))


def in_place(where: str) -> Noted:
    """The same of one directory alone."""
    return _noted([where])


def _noted(directories: Iterable[str]) -> Noted:
    notes: dict[tuple[str, str], note.Note] = {}
    unread: list[Unread] = []
    for where in directories:
        try:
            with shared_files.directory(where) as directory:
                for found in _in(directory, where):
                    if isinstance(found, Unread):
                        unread.append(found)
                    elif found.whose not in notes or notes[found.whose].at < found.at:
                        notes[found.whose] = found
        except FileNotFoundError:
            continue
        except OSError as error:
            unread.append(Unread(where, error.strerror or str(error)))
    return Noted(tuple(notes.values()), tuple(unread))


def _in(directory: int, where: str) -> Iterator[note.Note | Unread]:
    names = shared_files.names_in(directory)
    for end in sorted({match[1] for name in names if (match := _NAMED.fullmatch(name))}):
        found: list[note.Note] = []
        for kind in (MARK, NOTE):
            try:
                one = _read(directory, kind, end)
            except Exception as error:  # noqa: BLE001 whatever is in it, the others are shown
                yield Unread(f'{where}/{kind}{end}', getattr(error, 'strerror', '') or str(error))
            else:
                found += [one] if one is not None else []
        if found:
            work = next((each.work for each in found if each.work is not None), None)
            yield dataclasses.replace(found[-1], work=work)


def _read(directory: int, kind: str, end: str) -> note.Note | None:
    name = f'{kind}{end}'
    if kind == MARK:
        text: str | bytes | None = shared_files.mark(directory, name)
    else:
        text = shared_files.read_trusted(directory, name, LARGEST_BYTES)
    found = None if text is None else parsed(text)
    if found is not None and digest(found.key) != end:
        raise ValueError('it is of another volume than its name')
    return found


def load(directory: int, key: str) -> note.Note | None:
    """The note of one volume in an open directory, of this boot; ``None`` if there is none.

    :raises OSError: if it cannot be read, or cannot be trusted.
    :raises ValueError: if it is not one.
    """
    return _read(directory, NOTE, digest(key))


def digest(key: str) -> str:
    """The end of the names of what is noted of a volume; the key is in it, and is compared."""
    # 128 bits: no two volumes of a host share one.
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def text(found: note.Note) -> str:
    """The text of a note."""
    return json.dumps({'boot': _boot(), **found.as_dict()}, separators=(',', ':'))


def work_text(work: note.Work) -> str:
    """The text of an operation in a note's; the step that it has reached is its end."""
    return json.dumps(work.as_dict(), separators=(',', ':'))


def parsed(data: bytes | str) -> note.Note | None:
    """A note in the text of a file or a mark; ``None`` if it is of an earlier boot.

    :raises ValueError: if it is not one.
    """
    raw = json.loads(data)
    found = note.Note.from_dict(raw)
    return found if raw.get('boot') == _boot() else None


def _boot() -> str:
    return files.read_or(_BOOT_ID)


def operations(state_path: str, more: Iterable[str] = ()) -> tuple[note.Past, ...]:
    """The last 1,000 operations on this host that can be read, the last one last.

    :param more: as for :func:`every`.
    """
    found: list[note.Past] = []
    directories = places(state_path, more)
    for where in directories:
        try:
            with shared_files.directory(where) as directory:
                for name in filter(_LISTED.fullmatch, shared_files.names_in(directory)):
                    found += _listed(directory, name)
        except OSError:
            continue
    found += [past for each in _noted(directories).notes for past in each.past]
    return tuple(sorted(found, key=lambda past: past.at)[-MOST_OPERATIONS:])


def _listed(directory: int, name: str) -> Iterable[note.Past]:
    """The operations of a list; a line that is not one is left out: its process was killed."""
    try:
        data = shared_files.read_trusted(directory, name, 2 * LARGEST_LIST_BYTES)
    except OSError:
        return
    for line in (data or b'').splitlines():
        try:
            yield note.Past.from_dict(json.loads(line))
        except Exception:  # noqa: BLE001, S112 whatever is in a line, the others are read
            continue


# Of this process alone; a forked one has a number of its own.
_self: dict[tuple[int, int], note.Process] = {}


def process() -> note.Process:
    """This process."""
    pid = os.getpid()
    key = pid, files.epoch()
    found = _self.get(key)
    if found is None:
        found = note.Process(_program(), pid, _started(pid), os.geteuid(), _namespace())
        _self.clear()
        _self[key] = found
    return found


def _namespace() -> int:
    return files.inode('/proc/self/ns/pid')


def _program() -> str:
    """What this process was started as: the script, if an interpreter runs one."""
    first, *words = glance.read_or('/proc/self/cmdline').split('\0')
    found = first
    rest = iter(words if first.rpartition('/')[2].startswith('python') else ())
    for word in rest:
        if word in ('-W', '-X'):  # Of Python, with a word of their own.
            next(rest, '')
        elif word == '-m' or (word and not word.startswith('-')):
            found = next(rest, first) if word == '-m' else word
            break
        elif word == '-c':
            break
    return trace.one_line(found.rpartition('/')[2][:_LONGEST_PROGRAM])


def _started(pid: int) -> int:
    """When a process was started, in clock ticks since the host was; 0 if there is none.

    The fields follow the program's name, which may have blanks and brackets (proc(5), 22).
    """
    fields = glance.read_or(f'/proc/{pid}/stat').rpartition(')')[2].split()
    return int(fields[19]) if len(fields) > 19 and fields[19].isdigit() else 0


def is_running(found: note.Process) -> bool | None:
    """Whether a process runs; ``None`` if it cannot be told.

    It is of another PID namespace, or this user does not see those of others (proc(5), hidepid).
    """
    if found.namespace != _namespace():
        return None
    now = _started(found.pid)
    if now:
        return now == found.started
    sees_it = os.geteuid() in (0, found.user) or bool(glance.read_or('/proc/1/stat'))
    return False if sees_it else None
