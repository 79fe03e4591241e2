# SPDX-License-Identifier: Apache-2.0
"""The command line of ``tools/demo``."""

import argparse
import signal
import sys

from guestlib import progress
import location

_SECONDS = 600.0


def main(arguments: list[str] | None = None) -> int:
    """Run the demo; 0 only if everything was as it should be."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    options = _parser().parse_args(arguments)
    words = [f'--portals={",".join(str(count) for count in options.portals)}']
    try:
        if not options.here:
            return location.in_guest('demo', words, _SECONDS)
        location.prepare_here()
        from demo import story

        return story.tell(options.portals)
    except progress.Failure as failure:
        progress.line(str(failure))
        return failure.status
    except KeyboardInterrupt:
        return 130


def _counts(text: str) -> list[int]:
    counts = [int(word) for word in text.split(',')]
    if not all(1 <= count <= 8 for count in counts):
        raise argparse.ArgumentTypeError('from 1 to 8 portals')
    return counts


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        'tools/demo',
        description='Attaches a volume of a real iSCSI target, writes to it, grows it and detaches '
        'it, over one portal and over four, in a virtual machine that is made when needed.',
    )
    parser.add_argument(
        '--here',
        action='store_true',
        help='work on this machine: root, kernel target (LIO), open-iscsi, multipath-tools',
    )
    parser.add_argument(
        '--portals',
        type=_counts,
        default=[1, 4],
        metavar='N,…',
        help='how many portals (default: 1,4)',
    )
    return parser
