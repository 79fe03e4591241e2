# SPDX-License-Identifier: Apache-2.0
"""The command line of ``tools/bench``."""

import argparse
import pathlib
import signal
import sys
import tempfile

from guestlib import progress
import location

from brickbench import document, rows, table

_SECONDS = 3600.0
_REFERENCE = '/opt/reference/bin/python'


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; 0 if every row that was measured met what is asked of it."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    words = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(words)
    if options.list:
        print(_listed(options))
        return 0
    try:
        if not options.here:
            return _in_guest(options)
        location.prepare_here()
        from brickbench import runner

        lines = runner.run(options)
    except progress.Failure as failure:
        progress.line(str(failure))
        return failure.status
    except KeyboardInterrupt:
        return 130
    print(f'{lines[0].about}\n\n{table.text(lines)}', flush=True)
    return 1 if any(line.met is False for line in lines) else 0


def _in_guest(options: argparse.Namespace) -> int:
    """Measure in the guest; what was measured until an end of any kind is in the files."""
    progress.line(_total(options))
    with tempfile.TemporaryDirectory(prefix='bench-') as directory:
        fresh = [pathlib.Path(directory) / f'{n}.json' for n, _ in enumerate(options.output)]
        try:
            return location.in_guest('bench', _for_guest(options), _SECONDS, fresh)
        finally:
            for new, path in zip(fresh, options.output, strict=True):
                if new.exists():
                    document.add(path, document.read(new))


def _listed(options: argparse.Namespace) -> str:
    """Every row that is chosen, with the seconds of the act that measures it."""
    names, rounds = rows.chosen(options.row or ()), 2 if options.quick else options.rounds
    out = []
    for row in rows.ROWS:
        if row.name in names:
            seconds = rows.estimate(row.act, rounds)
            out.append(f'{row.name:24} {row.act:14} {seconds:5.0f} s  {row.title}')
    return '\n'.join([*out, _total(options)])


def _total(options: argparse.Namespace) -> str:
    names, rounds = rows.chosen(options.row or ()), 2 if options.quick else options.rounds
    acts = rows.acts(names)
    seconds = sum(rows.estimate(act, rounds) for act in acts)
    return f'{len(acts)} acts for {len(names)} rows: about {seconds / 60:.0f} minutes'


def _for_guest(options: argparse.Namespace) -> list[str]:
    words = [f'--rounds={options.rounds}', f'--reference={options.reference}']
    words += [f'--minutes={options.minutes}'] if options.minutes else []
    words += [f'--row={name}' for name in options.row or ()]
    for name in ('quick', 'slow', 'verbose', 'ours_only'):
        words += [f'--{name.replace("_", "-")}'] if getattr(options, name) else []
    return words


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        'tools/bench',
        description='Measures ours and the reference in turn, in one boot of the guest.',
        epilog=f'rows: {" ".join(rows.NAMES)}; several at once: {" ".join(rows.GROUPS)}',
    )
    add = parser.add_argument
    names = (*rows.GROUPS, *rows.NAMES)
    add(
        '--row',
        action='append',
        choices=names,
        metavar='ROW',
        help='only this row, or these (may be repeated)',
    )
    add('--list', action='store_true', help='print the rows and how long each act takes')
    add('--minutes', type=float, metavar='M', help='leave out the acts for which there is no time')
    add('--rounds', type=int, default=5, metavar='N', help='medians of N (default: %(default)s)')
    add('--quick', action='store_true', help='two rounds')
    add('--slow', action='store_true', help='the reference with a dead portal too: minutes')
    add('--ours-only', action='store_true', help='leave the reference out')
    add('--verbose', action='store_true', help='print the command lines that were counted')
    add(
        '--output',
        action='append',
        default=[],
        type=pathlib.Path,
        metavar='FILE',
        help='add what is measured to this JSON file, act by act; the pages show it',
    )
    add('--here', action='store_true', help='on this machine, as root')
    add('--reference', default=_REFERENCE, metavar='PYTHON', help='has os-brick 7.1.1 installed')
    return parser
