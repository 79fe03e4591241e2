# SPDX-License-Identifier: Apache-2.0
"""The command line of ``tools/bench``."""

import argparse
import pathlib
import signal
import sys

from guestlib import progress
import location

from brickbench import rows, table

_SECONDS = 3600.0
_REFERENCE = '/opt/reference/bin/python'


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; 0 if every row that was measured met what is asked of it."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    words = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(words)
    try:
        if not options.here:
            return location.in_guest('bench', _without_output(options), _SECONDS, options.output)
        location.prepare_here()
        from brickbench import runner

        about, lines = runner.run(options)
    except progress.Failure as failure:
        progress.line(str(failure))
        return failure.status
    except KeyboardInterrupt:
        return 130
    print(f'{about}\n\n{table.text(lines)}', flush=True)
    for path in options.output:
        table.write(path, lines, about)
    return 1 if any(line.met is False for line in lines) else 0


def _without_output(options: argparse.Namespace) -> list[str]:
    words = [f'--rounds={options.rounds}', f'--reference={options.reference}']
    words += [f'--row={name}' for name in options.row or ()]
    for name in ('quick', 'slow', 'verbose', 'ours_only'):
        words += [f'--{name.replace("_", "-")}'] if getattr(options, name) else []
    return words


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        'tools/bench',
        description='Measures ours and the reference in turn, in one boot of the guest.',
        epilog=f'rows: {" ".join(rows.NAMES)}',
    )
    add = parser.add_argument
    add('--row', action='append', choices=rows.NAMES, help='only this row (may be repeated)')
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
        help='write the table there: *.json, or anything else for reStructuredText',
    )
    add('--here', action='store_true', help='on this machine, as root')
    add('--reference', default=_REFERENCE, metavar='PYTHON', help='has os-brick 7.1.1 installed')
    return parser
