# SPDX-License-Identifier: Apache-2.0
"""Streams into and out of an image of Ceph, beside ``rbd import`` and ``rbd export``."""

import contextlib
import os
import pathlib
import tempfile

from brickbench import comparison, rows
from tests.functional import lab

_MEBIBYTE = 1 << 20
_MEBIBYTES = 256
# glance writes and reads volumes by 4 MiB (glance_store 5.7, WRITE_CHUNKSIZE); its client reads
# what cinder uploads by 64 KiB.
_LARGE, _SMALL = 4 * _MEBIBYTE, 65536
_NAME = 'bench'


def streamed(where: comparison.Comparison) -> None:
    """Copy a file of random bytes into an image and out again, by each side and by the tool.

    Files and objects are in memory, so that the time is that of the copy.
    """
    with contextlib.ExitStack() as stack:
        cluster = lab.ceph.Cluster()
        stack.callback(cluster.close)
        directory = tempfile.TemporaryDirectory(prefix='bench-', dir='/dev/shm')
        place = pathlib.Path(stack.enter_context(directory))
        source = place / 'in'
        source.write_bytes(os.urandom(_LARGE) * (_MEBIBYTES * _MEBIBYTE // _LARGE))
        for number in range(where.rounds + 1):
            # The first round is not counted: libraries are loaded in it.
            for side in where.sides:
                _stream(where, cluster, side, source, counts=bool(number))
            if number:
                _raw(where, cluster, source)


def _stream(
    where: comparison.Comparison,
    cluster: lab.ceph.Cluster,
    side: comparison.Side,
    source: pathlib.Path,
    *,
    counts: bool,
) -> None:
    worker = side.worker(multipath=False, protocol=comparison.STREAM)
    image = cluster.image(_NAME, _MEBIBYTES)
    out = source.with_name('out')
    for row, path, chunk in (
        ('rbd-in', source, _LARGE),
        ('rbd-out', out, _SMALL),
        ('rbd-out-4m', out, _LARGE),
    ):
        arguments = ((image.pool, image.name), str(cluster.conf), str(path), chunk)
        worker.stream(*arguments, into=path is source)
        if path is out:
            _require_same(source, out)
        if counts:
            where.add(row, side.name, rows.Sample(worker.elapsed))
            raw = {'rbd-in': 'rbd-in-over-raw', 'rbd-out-4m': 'rbd-out-over-raw'}.get(row)
            if raw and side is where.ours:
                where.add(raw, rows.OURS, rows.Sample(worker.elapsed))
    cluster.reset()


def _raw(where: comparison.Comparison, cluster: lab.ceph.Cluster, source: pathlib.Path) -> None:
    tool = ('rbd', '--no-progress', '--conf', str(cluster.conf))
    out = source.with_name('out')
    seconds, _text = lab.bricks.timed(
        lab.shell.run, *tool, 'import', str(source), f'rbd/{_NAME}', timeout=300
    )
    where.add('rbd-in-over-raw', rows.EASIER, rows.Sample(seconds))
    seconds, _text = lab.bricks.timed(
        lab.shell.run, *tool, 'export', f'rbd/{_NAME}', str(out), timeout=300
    )
    where.add('rbd-out-over-raw', rows.EASIER, rows.Sample(seconds))
    _require_same(source, out)
    lab.shell.run(*tool, 'rm', f'rbd/{_NAME}')


def _require_same(source: pathlib.Path, out: pathlib.Path) -> None:
    """Remove a copy; it must be what it is one of."""
    lab.shell.run('cmp', str(source), str(out))
    out.unlink()
