# SPDX-License-Identifier: Apache-2.0
"""The session of the tutorial, run as it is printed, by ``python -m``.

What differs from run to run is not compared: numbers of devices and sessions, identities. Nor are
lines that the page says may come or not.
"""

from __future__ import annotations

import doctest
import logging
import re
import subprocess
import sys
import time

from tests import pages
from tests.functional import lab, support

PAGE = pages.USER / 'tutorial.rst'
CONFIG = '/root/brick.conf'
# What the kernel and the array count, or draw.
_DRAWN = (
    (re.compile(r'36001405[0-9a-f]{25}'), 'WWID'),
    (re.compile(r'\(serial [0-9a-f]+\)'), '(serial N)'),
    (re.compile(r'\bsd[a-z]+\b'), 'DISK'),
    (re.compile(r'\bdm-\d+'), 'MAP'),
    (re.compile(r'\b\d+:0:0:1\b'), 'H:0:0:1'),
    (re.compile(r'tcp: \[\d+\]'), 'tcp: [N]'),
    (re.compile(r' +'), ' '),
)
_MAY_BE = re.compile(r'^multipathd has not taken .*\n', re.MULTILINE)


class _Checker(doctest.OutputChecker):
    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        return _plain(want) == _plain(got)


def _plain(text: str) -> str:
    text = _MAY_BE.sub('', text)
    for pattern, name in _DRAWN:
        text = pattern.sub(name, text)
    return '\n'.join(sorted(line.rstrip() for line in text.splitlines()))


class _Screen:
    """A terminal shows both streams; doctest looks at the standard output alone."""

    def write(self, text: str) -> int:
        return sys.stdout.write(text)

    def flush(self) -> None:
        sys.stdout.flush()


def _wait_same(before: lab.oracle.Snapshot) -> None:
    """Give udev and multipathd the moment that a reader gives them; the page shows what is left."""
    ends = time.monotonic() + 20
    while lab.oracle.difference(before, lab.oracle.snapshot()) and time.monotonic() < ends:
        time.sleep(0.2)


def configure(text: str) -> None:
    """Write the configuration file by the page's own command."""
    (block,) = (each for each in pages.blocks(text) if each.startswith('# cat >'))
    command, _python = block.removeprefix('# ').split('\n# ')
    subprocess.run(['/bin/sh', '-e', '-c', command], check=True)


def main() -> int:
    """Run the page's session on the laboratory that is up; return how many lines differ."""
    text = PAGE.read_text()
    configure(text)
    # The laboratory stands: what the page's one makes and removes is its volumes and targets.
    lab.Testbed.__enter__ = lambda self: self  # type: ignore[method-assign]
    hidden = {'wait_disks': support.wait_disks, 'wait_same': _wait_same}
    test = doctest.DocTestParser().get_doctest(text, hidden, PAGE.name, str(PAGE), 0)
    test.examples = [each for each in test.examples if each.source != 'exit()\n']
    assert len(test.examples) > 20
    for each in test.examples:
        if each.source.startswith("show('lsblk'"):  # "A moment later both are there."
            each.source = f"wait_disks(info['path'], 2); {each.source}"
        if each.source.startswith('print(lab.oracle.difference'):
            each.source = f'wait_same(before); {each.source}'
    sys.stderr = _Screen()  # type: ignore[assignment]
    logging.captureWarnings(capture=False)
    runner = doctest.DocTestRunner(checker=_Checker(), verbose=False)
    return runner.run(test).failed


if __name__ == '__main__':
    sys.exit(main())
