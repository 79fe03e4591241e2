# SPDX-License-Identifier: Apache-2.0
"""Where the demo and the benchmark run: in the guest, or as root on this very machine."""

from collections.abc import Sequence
import os
import pathlib
import sys
import uuid

from guestlib import command, hostenv, paths, progress

_GUEST_PYTHON = '/opt/os-brick/bin/python'
# What the library and the laboratory import; a machine's own Python seldom has it.
_NEEDED = 'oslo_privsep'


def in_guest(
    tool: str, words: Sequence[str], seconds: float, results: Sequence[pathlib.Path] = ()
) -> int:
    """Run ``tools/TOOL --here WORDS`` in the guest and return its exit status.

    :param results: files of this machine that the tool is to write; it gets ``--output`` for each.
    :raises progress.Failure: if there is no guest to be had.
    """
    with command.guest() as running:
        shared = [running.share / f'{uuid.uuid4().hex}{path.suffix}' for path in results]
        argv = [_GUEST_PYTHON, f'tools/{tool}', '--here', *words]
        for path in shared:
            argv += ['--output', f'/mnt/share/{path.name}']
        try:
            return command.run_in(running, command.Order(argv, timeout=seconds))
        finally:
            _fetch(shared, results)


def _fetch(shared: Sequence[pathlib.Path], wanted: Sequence[pathlib.Path]) -> None:
    for source, target in zip(shared, wanted, strict=True):
        if source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(source.read_bytes())
            source.unlink()


def prepare_here() -> None:
    """Return in a process that is root and can import the library, starting anew if need be.

    :raises progress.Failure: if we are not root.
    """
    if os.geteuid() != 0:
        raise progress.Failure(
            '--here needs root, and a machine on which nothing of value is attached'
        )
    sys.path.insert(0, str(paths.CHECKOUT))
    try:
        __import__(_NEEDED)
    except ImportError:
        python = hostenv.python()
        if os.path.realpath(sys.prefix) == os.path.realpath(pathlib.Path(python).parents[1]):
            raise
        os.execve(python, [python, *sys.argv], hostenv.environment())
