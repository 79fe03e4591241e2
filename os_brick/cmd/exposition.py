# SPDX-License-Identifier: Apache-2.0
"""Metrics as text that Prometheus reads (its exposition format 0.0.4); pure.

What is counted only grows: the list of operations is bounded, so what was counted before is taken
from the text that was written last, and what has ended since is added.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
import dataclasses
import re

from os_brick.model import note

BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)

DURATION = 'os_brick_operation_duration_seconds'
LOCK_WAIT = 'os_brick_lock_wait_seconds_total'
ERRORS = 'os_brick_errors_total'
_HELP = {
    DURATION: ('histogram', 'How long operations took.'),
    LOCK_WAIT: ('counter', 'How long operations waited for the lock of their volume.'),
    ERRORS: ('counter', 'What operations ended in.'),
    'os_brick_volumes': ('gauge', 'Volumes on this host.'),
    'os_brick_paths': ('gauge', 'Paths to them.'),
    'os_brick_noted_volumes': ('gauge', 'Volumes that an attach has noted.'),
    'os_brick_operations_stuck': ('gauge', 'Operations that have been running for a minute.'),
    'os_brick_operations_unfinished': ('gauge', 'Operations whose process has ended.'),
    'os_brick_findings': ('gauge', 'What os-brick doctor has found.'),
    'os_brick_unread': ('gauge', 'What could not be read for these metrics.'),
    'os_brick_build_info': ('gauge', 'The version of os-brick.'),
}
_UNTIL = '# os-brick counted until '
_SAMPLE = re.compile(r'(os_brick_[a-z_]+)\{([^{}\n]*)\} ([0-9.e+-]+)')
_LABEL = re.compile(r'([a-z_]+)="([^"\\\n]*)"')
# What comes from a file is a label only if it is a word: no one can make a million series of it.
_WORD = re.compile(r'[A-Za-z0-9][A-Za-z0-9_.+ -]{0,63}')

Labels = tuple[tuple[str, str], ...]
Key = tuple[str, Labels]


@dataclasses.dataclass(frozen=True, slots=True)
class Counted:
    """What has been counted, until a moment."""

    values: Mapping[Key, float]
    until: float = 0.0


NOTHING = Counted({})


def parsed(text: str) -> Counted:
    """What a text has counted; nothing where it is not one of ours."""
    values: dict[Key, float] = {}
    until = 0.0
    for line in text.splitlines():
        match = _SAMPLE.fullmatch(line)
        if line.startswith(_UNTIL):
            until = _number(line.removeprefix(_UNTIL))
        elif match and _family(match[1]) in (DURATION, LOCK_WAIT, ERRORS):
            values[match[1], tuple(_LABEL.findall(match[2]))] = _number(match[3])
    return Counted(values, until) if until else NOTHING


def _number(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        return 0.0
    return found if 0 <= found < 1e18 else 0.0


def _family(name: str) -> str:
    return re.sub('_(bucket|sum|count)$', '', name)


def added(before: Counted, operations: Iterable[note.Past], now: float) -> Counted:
    """What is counted with the operations that have ended since.

    :param now: what is said to have ended later was noted by a clock that was wrong, and waits.
    """
    begins = min(before.until, now)
    values, until = dict(before.values), begins
    for each in operations:
        if begins < each.at <= now:
            until = max(until, each.at)
            for key, value in _counts(each):
                values[key] = values.get(key, 0.0) + value
    return Counted(values, until)


def _counts(each: note.Past) -> Iterable[tuple[Key, float]]:
    """What one operation adds."""
    of = (('operation', _word(each.operation)), ('protocol', _word(each.protocol)))
    ended = (*of, ('outcome', _word(each.outcome)))
    for bound in BUCKETS:
        yield (f'{DURATION}_bucket', (*ended, ('le', f'{bound}'))), float(each.seconds <= bound)
    yield (f'{DURATION}_bucket', (*ended, ('le', '+Inf'))), 1.0
    yield (f'{DURATION}_sum', ended), each.seconds
    yield (f'{DURATION}_count', ended), 1.0
    yield (LOCK_WAIT, of), each.lock_seconds
    if each.code:
        yield (ERRORS, (*of, ('code', _word(each.code)))), 1.0


def _word(text: str) -> str:
    return text if _WORD.fullmatch(text) else 'other'


def gauge(name: str, value: float, **labels: str) -> tuple[Key, float]:
    """One sample."""
    return (name, tuple((key, _word(text)) for key, text in labels.items())), float(value)


def rendered(counted: Counted, gauges: Iterable[tuple[Key, float]]) -> str:
    """The whole text."""
    samples: dict[str, list[str]] = {name: [] for name in _HELP}
    for (name, labels), value in [*sorted(counted.values.items(), key=_order), *gauges]:
        shown = ','.join(f'{key}="{text}"' for key, text in labels)
        samples[_family(name)].append(f'{name}{{{shown}}} {value:.10g}')
    lines = []
    for name, (kind, text) in _HELP.items():
        if samples[name]:
            lines += [f'# HELP {name} {text}', f'# TYPE {name} {kind}', *samples[name]]
    return '\n'.join([*lines, f'{_UNTIL}{counted.until!r}', ''])


def _order(item: tuple[Key, float]) -> tuple[str, Labels, float]:
    """The buckets of one histogram together, the lowest first."""
    (name, labels), _ = item
    bound = dict(labels).get('le', '0').replace('+Inf', 'inf')
    return name, tuple(each for each in labels if each[0] != 'le'), float(bound)
