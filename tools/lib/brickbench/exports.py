# SPDX-License-Identifier: Apache-2.0
"""The act with a volume on a share of NFS."""

import pathlib
import tempfile

from brickbench import comparison, rows
from tests.functional import lab

_SHARE, _FILE = 'bench', 'volume-1'


def one(where: comparison.Comparison) -> None:
    """Attach a volume whose share has to be mounted, and once more when it is mounted."""
    server = lab.nfs.Server(_SHARE)
    try:
        server.file(_SHARE, _FILE, 'gold')
        for number in range(where.rounds + 1):
            for side in where.sides:
                # The first round is not counted: daemons import what they need when they need it.
                _life(where, side, server, counts=bool(number))
    finally:
        server.close()


def _life(
    where: comparison.Comparison, side: comparison.Side, server: lab.nfs.Server, *, counts: bool
) -> None:
    worker = side.worker(multipath=False, protocol=comparison.BARE)
    props = {'export': server.export(_SHARE), 'name': _FILE, 'options': '-o vers=4.2'}
    with tempfile.TemporaryDirectory(prefix='bench-nfs-') as base:
        worker.make('NFS', nfs_mount_point_base=base)
        with where.clean(side):
            for row in ('nfs-mount', 'nfs-mounted'):
                with comparison.recorded() as programs:
                    info = worker.call('connect_volume', props, seconds=comparison.CALL_SECONDS)
                if counts:
                    where.add(row, side.name, rows.Sample(worker.elapsed, tuple(programs)))
            worker.call('disconnect_volume', props, info, seconds=comparison.CALL_SECONDS)
            for place in pathlib.Path(base).iterdir():
                lab.shell.run('umount', str(place))
