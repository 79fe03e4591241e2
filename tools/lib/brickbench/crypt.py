# SPDX-License-Identifier: Apache-2.0
"""The act with an encrypted volume."""

import os
import time

from brickbench import comparison, rows, scenarios
from tests.functional import encryption_support as crypto
from tests.functional import lab

_LUN = 1
_RAW = 'labcrypt'


def existing(where: comparison.Comparison) -> None:
    """Attach an existing LUKS volume with an encryptor, and by hand with cryptsetup alone.

    Its passphrase takes as long to check as cryptsetup makes it by default.
    """
    volume = where.testbed.volume('benchcrypt', scenarios.MEBIBYTES)
    target = where.testbed.target('benchcrypt', 1)
    target.map(_LUN, volume)
    props = target.properties(_LUN, encrypted=True)
    _format(where, props)
    for number in range(where.rounds + 1):
        for side in where.sides:
            with where.clean(side):
                info = where.call('', side, 'connect_volume', props)
                # The first round is not counted: daemons import what they need when they need it.
                _encryption(where, side, 'attach_volume', info['path'], counts=bool(number))
                _encryption(where, side, 'detach_volume', info['path'], counts=False)
                os.unlink(info['path'])
                os.symlink(info['path'].rpartition('brick')[2].replace('+', '/'), info['path'])
                if side is where.ours and number:
                    _raw(where, info['path'])
                where.call('', side, 'disconnect_volume', props, info)


def _format(where: comparison.Comparison, props: comparison.Props) -> None:
    with where.clean(where.ours):
        info = where.call('', where.ours, 'connect_volume', props)
        argv = ('cryptsetup', '--batch-mode', 'luksFormat', '--type', 'luks1', '--key-file=-')
        lab.shell.run(*argv, os.path.realpath(info['path']), stdin=crypto.PASSPHRASE)
        where.call('', where.ours, 'disconnect_volume', props, info)


def _encryption(
    where: comparison.Comparison,
    side: comparison.Side,
    method: str,
    path: str,
    *,
    counts: bool,
) -> None:
    worker = side.worker(multipath=False)
    with comparison.recorded() as programs:
        worker.begin_encryption(method, path, 'luks', crypto.PASSPHRASE)
        worker.finish()
    if counts:
        sample = rows.Sample(worker.elapsed, tuple(programs))
        where.add('crypt-attach', side.name, sample)
        if side is where.ours:
            where.add('crypt-over-raw', rows.OURS, rows.Sample(worker.elapsed))


def _raw(where: comparison.Comparison, path: str) -> None:
    device = os.path.realpath(path)
    lab.shell.settle()
    began = time.monotonic()
    lab.shell.run(
        *('cryptsetup', 'luksOpen', '--key-file=-', device, _RAW), stdin=crypto.PASSPHRASE
    )
    where.add('crypt-over-raw', rows.EASIER, rows.Sample(time.monotonic() - began))
    lab.shell.run('cryptsetup', 'close', _RAW)
