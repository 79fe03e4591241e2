# SPDX-License-Identifier: Apache-2.0
"""What is noted of an attached volume, and of operations: values, and their form in JSON.

What is read back was written by another process, perhaps of another release, or by anyone who could
write to the file. :meth:`Note.from_dict` takes what it can be sure of and rejects everything else.
"""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses
from typing import Any, Self, TypeVar

# What :meth:`Note.as_dict` writes; a note with another number is not read.
VERSION = 1
# As many operations are kept with a volume; the oldest go first.
MOST_PAST = 16

# Protocols whose keys are names that several volumes may have, attached side by side.
_OF_SEVERAL_VOLUMES = ('rbd',)

LONGEST_TEXT = 4096
_DEEPEST = 20
# What every number in a note is below; one of 400 digits cannot even be made a float.
LARGEST = 2**63
# Linux, PID_MAX_LIMIT (include/linux/threads.h).
_HIGHEST_PID = 4 * 1024 * 1024

T = TypeVar('T', str, int, float)
Data = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Process:
    """A process; its number and the moment of its start tell it from a later one.

    :ivar program: what it was started as, such as ``nova-compute``.
    :ivar started: clock ticks since the host's start (proc(5), ``/proc/pid/stat``, starttime).
    :ivar user: the number of its user.
    :ivar namespace: the number of its PID namespace, without which a PID says nothing.
    """

    program: str
    pid: int
    started: int
    user: int
    namespace: int = 0

    @classmethod
    def from_dict(cls, found: object) -> Self:
        """Read one back.

        :raises ValueError: if it is not one.
        """
        raw = _mapping(found)
        pid = _value(raw, 'pid', int)
        if not 0 < pid <= _HIGHEST_PID:
            raise ValueError(f'{pid} is not a process')
        return cls(
            _value(raw, 'program', str, ''),
            pid,
            _value(raw, 'started', int, 0),
            _value(raw, 'user', int, -1),
            _value(raw, 'namespace', int, 0),
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Work:
    """An operation that has begun.

    :ivar operation: ``attach``, ``detach`` or ``extend``.
    :ivar since: when it began, in seconds since 1970.
    :ivar reached: the last of its steps that has begun; empty for the lock.
    """

    operation: str
    process: Process
    since: float
    reached: str = ''

    def as_dict(self) -> Data:
        """It in plain values."""
        return {**_fields(self), 'process': _fields(self.process)}

    @classmethod
    def from_dict(cls, found: object) -> Self:
        """Read one back.

        :raises ValueError: if it is not one.
        """
        raw = _mapping(found)
        return cls(
            _value(raw, 'operation', str),
            Process.from_dict(raw.get('process')),
            _value(raw, 'since', float),
            _value(raw, 'reached', str, ''),
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Past:
    """An operation that has ended.

    :ivar at: when it ended, in seconds since 1970.
    :ivar outcome: ``done``; ``failed``, and the host is as before; ``left``: and something is not.
    :ivar code: the class of its error; empty if there was none.
    """

    operation: str
    protocol: str
    outcome: str
    at: float
    seconds: float
    lock_seconds: float = 0.0
    code: str = ''

    def as_dict(self) -> Data:
        """It in plain values."""
        return _fields(self)

    @classmethod
    def from_dict(cls, found: object) -> Self:
        """Read one back.

        :raises ValueError: if it is not one.
        """
        raw = _mapping(found)
        return cls(
            operation=_value(raw, 'operation', str),
            protocol=_value(raw, 'protocol', str),
            outcome=_value(raw, 'outcome', str),
            at=_value(raw, 'at', float),
            seconds=_value(raw, 'seconds', float),
            lock_seconds=_value(raw, 'lock_seconds', float, 0.0),
            code=_value(raw, 'code', str, ''),
        )


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What is noted of one volume on this host.

    A note is what the process that wrote it knew. The volume may have gone since, without us.

    :ivar key: what the volume is locked by.
    :ivar volume_id: Cinder's, if the caller passed it; ``attachment_id`` likewise.
    :ivar properties: what the caller passed, without secrets; empty if that is too large.
    :ivar result: what the attach returned; ``None`` if none has ended well.
    :ivar device: the name of the volume's device, such as ``dm-4``; empty if it has none.
    :ivar number: the kernel's number of that device (the inode of its directory in sysfs), which no
        other one gets until the next boot; 0 if it is not known. The name alone may be another's.
    :ivar identity: the WWID, the UUID or whatever else tells the volume from others.
    :ivar wanted: the number of paths that the attach wanted, of which ``ready`` were open at its
        end; both 0 if the protocol has no paths.
    :ivar process: the process that attached it, at ``at`` (seconds since 1970).
    :ivar work: an operation that has begun and of which no end is noted.
    :ivar past: operations that have ended while it was attached, the last one last.
    """

    key: str
    protocol: str = ''
    volume_id: str = ''
    attachment_id: str = ''
    properties: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    result: Mapping[str, Any] | None = None
    device: str = ''
    number: int = 0
    identity: str = ''
    wanted: int = 0
    ready: int = 0
    process: Process | None = None
    at: float = 0.0
    work: Work | None = None
    past: tuple[Past, ...] = ()

    @property
    def whose(self) -> tuple[str, str]:
        """What notes of one volume have in common: the key, and the device where that decides."""
        return self.key, self.device if self.protocol in _OF_SEVERAL_VOLUMES else ''

    @property
    def is_attached(self) -> bool:
        """Whether an attach has ended well, and no detach has since."""
        return self.result is not None

    def as_dict(self) -> Data:
        """The note in plain values, without what is empty."""
        found = _fields(self)
        found['process'] = _fields(self.process) if self.process is not None else None
        found['work'] = self.work.as_dict() if self.work is not None else None
        found['past'] = [each.as_dict() for each in self.past]
        kept = {name: value for name, value in found.items() if value}
        result = {'result': dict(self.result)} if self.result is not None else {}
        return {'version': VERSION, 'key': self.key, **kept, **result}

    @classmethod
    def from_dict(cls, found: object) -> Self:
        """Read a note back.

        :raises ValueError: if it is not one of this version.
        """
        raw = _mapping(found)
        if raw.get('version') != VERSION:
            raise ValueError(f'its version is not {VERSION}')
        key = _value(raw, 'key', str)
        # Which connector a command calls is told by the protocol: so it is that of the name by
        # which the note is found.
        protocol = _value(raw, 'protocol', str, '')
        if protocol not in ('', key.partition(' ')[0]):
            raise ValueError('its protocol is not that of its volume')
        result, process, work = raw.get('result'), raw.get('process'), raw.get('work')
        past = raw.get('past', [])
        if not isinstance(past, list | tuple) or len(past) > MOST_PAST:
            raise ValueError('past is not a list of operations')
        return cls(
            key=key,
            protocol=protocol,
            volume_id=_value(raw, 'volume_id', str, ''),
            attachment_id=_value(raw, 'attachment_id', str, ''),
            device=_value(raw, 'device', str, ''),
            number=_value(raw, 'number', int, 0),
            identity=_value(raw, 'identity', str, ''),
            wanted=_value(raw, 'wanted', int, 0),
            ready=_value(raw, 'ready', int, 0),
            properties=_plain(_mapping(raw.get('properties', {}))),
            result=None if result is None else _plain(_mapping(result)),
            process=None if process is None else Process.from_dict(process),
            at=_value(raw, 'at', float, 0.0),
            work=None if work is None else Work.from_dict(work),
            past=tuple(map(Past.from_dict, past)),
        )


def _fields(value: Process | Work | Past | Note) -> Data:
    """The fields as they are; :func:`dataclasses.asdict` copies each of them, text or not."""
    return {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}


def _mapping(found: object) -> Mapping[str, Any]:
    if not isinstance(found, Mapping):
        raise ValueError(f'expected a dictionary, got {type(found).__name__}')
    return found


def _value(raw: Mapping[str, Any], name: str, kind: type[T], default: T | None = None) -> T:
    """A value of this kind.

    :raises ValueError: if it is of another kind, or cannot be shown on one line.
    """
    found = raw.get(name, default)
    if isinstance(found, int | float) and not -1 <= found <= LARGEST:  # NaN is not, either.
        raise ValueError(f'{name} is out of range')
    if kind is float and isinstance(found, int) and not isinstance(found, bool):
        found = float(found)
    if not isinstance(found, kind) or isinstance(found, bool):
        raise ValueError(f'{name} is not of kind {kind.__name__}')
    if isinstance(found, str):
        _require_line(found)
    elif found < 0 and name != 'user':
        raise ValueError(f'{name} is out of range')
    return found


def _require_line(text: str) -> None:
    # What is read is shown on terminals, which obey control characters.
    if len(text) > LONGEST_TEXT or not text.isprintable():
        raise ValueError('a text is too long, or has control characters')


def _plain(value: Any, depth: int = _DEEPEST) -> Any:
    """The same, if it consists of what JSON has.

    :raises ValueError: if it does not, or is nested too deep.
    """
    if depth <= 0:
        raise ValueError('it is nested too deep')
    if isinstance(value, Mapping):
        for name in value:
            _require_line(name if isinstance(name, str) else '\0')
        return {name: _plain(each, depth - 1) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each, depth - 1) for each in value]
    _require_plain(value)
    return value


def _require_plain(value: object) -> None:
    if isinstance(value, str):
        _require_line(value)
    elif not isinstance(value, bool | int | float | None):
        raise ValueError(f'a value is of kind {type(value).__name__}')
    elif value is not None and not -LARGEST <= value <= LARGEST:
        raise ValueError('a number is out of range')
