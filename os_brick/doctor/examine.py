# SPDX-License-Identifier: Apache-2.0
"""The examination: facts and rules put together, with what a site has decided; pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
import dataclasses
import shlex

from os_brick.core import trace
from os_brick.doctor import case, catalogue, facts, site
from os_brick.doctor.rules import RULES

# Words of ours for people, not a command's.
_SENTENCES = {'package'}


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One case, in words.

    :ivar level: ``F``, ``W`` or ``I``, as the rule or the site has it for this one.
    :ivar evidence: the words that the texts were made of.
    """

    id: str
    harm: str
    level: str
    object: str
    text: str
    why: str
    repair: str
    source: str
    evidence: dict[str, str]


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """What an examination has found.

    :ivar checks: the findings that were looked for.
    :ivar silenced: those that the site does not want to hear of.
    :ivar unread: what could not be looked at, see :meth:`affected`.
    :ivar hosts: how many were compared.
    :ivar has_storage: whether there was anything to be judged at all.
    """

    findings: tuple[Finding, ...]
    checks: tuple[str, ...]
    silenced: tuple[str, ...] = ()
    unread: tuple[facts.Unread, ...] = ()
    has_storage: bool = True
    hosts: int = 1

    def affected(self, unread: facts.Unread) -> tuple[str, ...]:
        """The findings that could not be looked for completely."""
        entries = catalogue.entries()
        return tuple(name for name in self.checks if unread.fact in entries[name].facts)

    @property
    def exit_code(self) -> int:
        """2 with a failure, 3 if something was not looked at, 1 with a warning, or 0."""
        levels = {each.level for each in self.findings}
        if case.FAIL in levels:
            return 2
        if self.unread:
            return 3
        return 1 if case.WARN in levels else 0


def examine(
    found: facts.Facts,
    overrides: site.Overrides,
    wanted: Collection[str] = (),
    skipped: Collection[str] = (),
) -> Result:
    """Judge facts by the rules.

    :param wanted: the findings that are looked for; none for all.
    :param skipped: those that are not.
    """
    cases: list[Finding] = []
    checks, silenced = [], []
    for entry in _asked(wanted, skipped):
        override = overrides.get(entry.id, site.Override())
        if override.is_silenced:
            silenced.append(entry.id)
            continue
        checks.append(entry.id)
        rows = RULES[entry.id](found, site.values_of(entry, override))
        cases += _findings(entry, override, rows)
    needed = {fact for name in checks for fact in catalogue.entries()[name].facts} | {'site'}
    unread = tuple(each for each in found.unread if each.fact in needed)
    return Result(in_order(cases), tuple(checks), tuple(silenced), unread, _has_storage(found))


def _asked(wanted: Collection[str], skipped: Collection[str]) -> Iterable[catalogue.Entry]:
    for entry in catalogue.entries().values():
        is_wanted = not wanted or entry.id in wanted
        if is_wanted and entry.id not in skipped and not entry.is_of_fleet:
            yield entry


def _has_storage(found: facts.Facts) -> bool:
    """Whether there is anything on the host that the rules could judge."""
    things = (found.disks, found.maps, found.sessions, found.records, found.controllers)
    return any((*things, found.services, found.programs, found.notes))


def in_order(found: Iterable[Finding]) -> tuple[Finding, ...]:
    """Findings, the worst first: by level, then by harm."""
    levels, harms = list(catalogue.LEVELS), list(catalogue.HARMS)
    return tuple(sorted(found, key=lambda each: (levels.index(each.level), harms.index(each.harm))))


def _findings(
    entry: catalogue.Entry, override: site.Override, cases: Iterable[case.Case]
) -> Iterable[Finding]:
    for each in cases:
        if each.object not in override.silenced_objects:
            yield finding(entry, each, override.level)


def _quoted(name: str, text: str) -> str:
    # What is typed goes to a shell of root's, and names are chosen by others.
    return text if name in _SENTENCES else shlex.quote(text)


def finding(entry: catalogue.Entry, each: case.Case, level: str = '') -> Finding:
    """A case in the words of its finding.

    :param level: that the site wants; empty for the case's, or the finding's own.
    """
    repair = entry.repairs.get(each.variant, entry.repair)
    # Names of maps, hosts and volumes are chosen by others: none forges a line.
    words = {name: trace.one_line(text) for name, text in each.words.items()}
    return Finding(
        *(entry.id, entry.harm, level or each.level or entry.level, trace.one_line(each.object)),
        entry.text.format(**words),
        entry.why.format(**words),
        repair.format(**{name: _quoted(name, text) for name, text in words.items()}),
        entry.source,
        words,
    )
