# SPDX-License-Identifier: Apache-2.0
"""``tools/consumers``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
import os
import pathlib
import re
import time

from consumers import environment, runs, selection

# The fast part: what runs in a minute or two, and covers each kind of call.
FAST = {
    'python-brick-cinderclient-ext': '',
    'glance_store': '',
    'cinderlib': '',
    'nova': r'virt\.libvirt\.volume\.',
}


def main(words: Sequence[str] | None = None) -> int:
    """Run it; return 0 if every test that passes with the reference passes with ours."""
    wanted = _parsed(words)
    chosen = [each for each in environment.CONSUMERS if each.name in wanted.consumer]
    if wanted.made:
        return _tell_made(chosen)
    pages = []
    total = 0
    print(f'{"consumer":<40}{"modules":>8}{"reference":>10}{"ours":>7}{"lost":>6}{"seconds":>9}')
    for consumer in chosen:
        page, count = _compared(consumer, wanted)
        pages.append(page)
        total += count
        if wanted.report:
            wanted.report.write_text('\n'.join(pages))
    return 1 if total else 0


def _tell_made(chosen: Sequence[environment.Consumer]) -> int:
    missing = [each.requirement for each in chosen if not environment.is_made(each)]
    print(f'not made yet: {", ".join(missing)}' if missing else 'all are made')
    return 1 if missing else 0


def _parsed(words: Sequence[str] | None) -> argparse.Namespace:
    parser = _parser()
    found = parser.parse_args(words)
    names = [each.name for each in environment.CONSUMERS]
    unknown = set(found.consumer) - set(names)
    if unknown:
        parser.error(f'{sorted(unknown)[0]} is not one of {", ".join(names)}')
    found.consumer = found.consumer or (list(FAST) if found.fast else names)
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='tools/consumers',
        description='Runs those unit tests of consumers that touch os-brick, first with the '
        f'reference ({environment.REFERENCE}), then with this checkout, and tells which tests pass '
        'with the reference only.',
    )
    names = ', '.join(each.name for each in environment.CONSUMERS)
    parser.add_argument('consumer', nargs='*', help=f'one of {names}; default: all')
    parser.add_argument('--jobs', type=int, default=os.cpu_count(), help='modules side by side')
    parser.add_argument('--fresh', action='store_true', help='run the reference again, too')
    parser.add_argument(
        '--only', default='', metavar='REGEX', help='only modules in whose names this is found'
    )
    parser.add_argument(
        '--fast', action='store_true', help=f'only {", ".join(FAST)}; of nova its volume drivers'
    )
    parser.add_argument(
        '--made', action='store_true', help='run nothing, tell whether the environments are made'
    )
    parser.add_argument('--report', type=pathlib.Path, help='a file for the tests that are lost')
    return parser


def _compared(consumer: environment.Consumer, wanted: argparse.Namespace) -> tuple[str, int]:
    """A page about a consumer, and how many of its tests are lost."""
    begun = time.monotonic()
    try:
        place = environment.Environment.of(consumer)
    except environment.Failure as error:
        print(f'{consumer.requirement:<40}cannot be installed: {error}')
        return f'## {consumer.requirement}: cannot be installed\n\n{error}\n', 1
    only = wanted.only or (FAST.get(consumer.name, '') if wanted.fast else '')
    modules = [name for name in selection.modules(place.package) if re.search(only, name)]
    known = runs.reference(place, modules, wanted.jobs, fresh=wanted.fresh)
    before = runs.passed(runs.together(known))
    found = runs.together(runs.run(place, modules, wanted.jobs, ours=True))
    first = runs.lost(before, found)
    second = runs.lost(first, {**found, **runs.again(place, list(first), ours=True)})
    # One that does not pass alone with the reference either is not ours to lose.
    alone = runs.passed(runs.again(place, list(second), ours=False))
    lost = {name: outcome for name, outcome in second.items() if name in alone}
    seconds = time.monotonic() - begun
    print(
        f'{consumer.requirement:<40}{len(modules):>8}{len(before):>10}'
        f'{len(before) - len(lost):>7}{len(lost):>6}{seconds:>9.0f}',
        flush=True,
    )
    return _page(consumer, len(before), lost), len(lost)


def _page(consumer: environment.Consumer, count: int, lost: runs.Outcomes) -> str:
    lines = [f'## {consumer.requirement}: {count - len(lost)} of {count}', '']
    for name, outcome in lost.items():
        said = [line for line in outcome.why.strip().splitlines() if line.strip()]
        lines.append(f'* `{name}`: {outcome.what}: {said[-1].strip() if said else ""}')
    return '\n'.join([*lines, ''])
