# SPDX-License-Identifier: Apache-2.0
"""What suites of tests came to: counted from their reports, and printed as a summary."""

import dataclasses
import pathlib
import sys
import xml.etree.ElementTree

NONE_SELECTED = 5  # pytest's exit status


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What one suite came to. A suite that broke counts as one failure more."""

    name: str
    status: int
    seconds: float = 0.0
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    note: str = ''

    def __str__(self) -> str:
        counts = f'{self.passed} passed, {self.failed} failed, {self.skipped} skipped'
        return f'{self.name:11}{counts} in {self.seconds:.0f} s {self.note}'.rstrip()


def of_report(name: str, status: int, report: pathlib.Path, *, narrowed: bool) -> Outcome:
    """Count the report's test cases; believe the exit status where the two disagree."""
    counts = {'passed': 0, 'failed': 0, 'skipped': 0}
    try:
        for case in xml.etree.ElementTree.parse(report).iter('testcase'):
            counts[_verdict(case)] += 1
    except (OSError, xml.etree.ElementTree.ParseError):
        return Outcome(name, status or 99, failed=1, note='(no report)')
    note = ''
    if status == NONE_SELECTED and not any(counts.values()) and narrowed:
        return Outcome(name, 0, note='(none selected)')
    if status and (status == 124 or not counts['failed']):
        counts['failed'] += 1
        note = '(timed out)' if status == 124 else f'(ended with status {status})'
    return Outcome(name, status, note=note, **counts)


def _verdict(case: xml.etree.ElementTree.Element) -> str:
    if case.find('failure') is not None or case.find('error') is not None:
        return 'failed'
    return 'skipped' if case.find('skipped') is not None else 'passed'


def print_summary(outcomes: list[Outcome]) -> None:
    """Print the summary, whose last line is for programs too."""
    passed = sum(outcome.passed for outcome in outcomes)
    failed = sum(outcome.failed for outcome in outcomes)
    skipped = sum(outcome.skipped for outcome in outcomes)
    sys.stderr.flush()
    print('\nSummary')
    for outcome in outcomes:
        print(f'  {outcome}')
    print(f'{passed} passed, {failed} failed, {skipped} skipped', flush=True)


def status(outcomes: list[Outcome]) -> int:
    """The exit status: 0 only if something passed and nothing failed."""
    if any(outcome.failed or outcome.status for outcome in outcomes):
        return 1
    return 0 if any(outcome.passed for outcome in outcomes) else NONE_SELECTED
