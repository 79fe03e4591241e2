# SPDX-License-Identifier: Apache-2.0
"""The acts of the demo: each does one thing, says what came of it, and checks that it is right."""

from collections.abc import Callable, Iterator, Sequence
import contextlib
import os
import platform
import sys
import time
from typing import Any

from demo import look, output, picture
from tests.functional import lab, support

MEBI = 1 << 20
_SIZE, _GROWN = 64, 96
_PATTERN_OFFSET = 8 * MEBI
_LUN = 1
# udev and multipathd follow a detach a moment later.
_LEFT_SECONDS = 8.0


def tell(portals: Sequence[int]) -> int:
    """Play the demo for each number of portals; 0 if nothing was wrong."""
    began = time.monotonic()
    output.line(f'os-brick on Linux {platform.release()}: volumes of a real iSCSI target (LIO)')
    wrong = 0
    with lab.Testbed() as testbed:
        lab.daemons.configure(find_multipaths='strict')
        _start_daemon()
        for count in portals:
            wrong += _run(testbed, count)
        wrong += _tried(testbed, lambda _before: picture.tell(testbed))
    verdict = 'everything is as it should be' if not wrong else f'WRONG in {wrong} of the parts'
    output.line(f'\n{verdict} ({time.monotonic() - began:.0f} s in all)')
    return 1 if wrong else 0


def _start_daemon() -> None:
    """Start the root daemon first, so that the first attach is not charged for it."""
    with output.step('start the root daemon (privsep), once for the process'):
        lab.bricks.configure_here()
        import os_brick.privileged

        os_brick.privileged.default.start()


def _run(testbed: lab.Testbed, count: int) -> int:
    """One number of portals; 1 if anything was wrong."""
    several = count > 1
    output.line(f'\n== {count} portal{"s, multipath" if several else ", one path"} ==')
    return _tried(testbed, lambda before: _life(testbed, count, before, several=several))


def _tried(testbed: lab.Testbed, part: Callable[[lab.oracle.Snapshot], None]) -> int:
    """One part of the demo; 1 if anything was wrong."""
    before = lab.oracle.snapshot()
    try:
        with _cleaned(testbed, before):
            part(before)
    except output.Wrong as error:
        output.line(f'WRONG: {error}')
        return 1
    except Exception as error:
        output.line(f'WRONG: {type(error).__name__}: {error}')
        return 1
    return 0


@contextlib.contextmanager
def _cleaned(testbed: lab.Testbed, before: lab.oracle.Snapshot) -> Iterator[None]:
    """Take down the target, and by force what a part that went wrong left behind."""
    try:
        yield
    finally:
        if sys.exc_info()[0] is not None:
            lab.oracle.sweep(before)
        testbed.reset()


def _life(testbed: lab.Testbed, count: int, before: lab.oracle.Snapshot, *, several: bool) -> None:
    volume = testbed.volume(f'demo{count}', _SIZE)
    target = testbed.target(f'demo{count}', count)
    target.map(_LUN, volume)
    output.fact('target', f'{target.iqn}, LUN {_LUN}, {_SIZE} MiB')
    output.fact('portals', ' '.join(target.portals))
    connector = lab.bricks.ours(multipath=several)
    props = target.properties(_LUN, plural=several)
    with output.step('attach'):
        info = connector.connect_volume(props)
    path = info['path']
    _attached(path, info, volume, count)
    _use(path, volume)
    _grow(connector, props, path, volume)
    with output.step('detach'):
        connector.disconnect_volume(props, info)
    _left(before)


def _attached(path: str, info: dict[str, Any], volume: lab.lio.Volume, count: int) -> None:
    several = count > 1
    if several:
        support.wait_disks(path, count)
    output.fact('path', f'{path} -> {support.node(path)}')
    for disk in support.disks_of(path):
        output.fact('disk', look.described(disk))
    output.fact('map', look.map_of(path))
    output.fact('WWID', str(info['scsi_wwn']))
    output.require(info['scsi_wwn'] == volume.wwid, f'the target says {volume.wwid}')
    output.require(support.is_multipath(path) == several, 'multipath map or not')
    output.require(len(support.disks_of(path)) == count, f'{count} disks')


def _use(path: str, volume: lab.lio.Volume) -> None:
    pattern = os.urandom(MEBI)
    with output.step('write and read back 1 MiB of random bytes', counted=False):
        support.write(path, pattern, _PATTERN_OFFSET)
        seen = support.read(path, MEBI, _PATTERN_OFFSET)
    output.require(seen == pattern, 'what is read is not what was written')
    arrived = volume.read(MEBI, _PATTERN_OFFSET) == pattern
    output.require(arrived, 'the bytes are not in the backing store of the target')
    output.fact('data', "read back equal, and the target's backing store has the same bytes")


def _grow(connector: Any, props: dict[str, Any], path: str, volume: lab.lio.Volume) -> None:
    output.fact('before', look.sizes(path))
    bigger = volume.grow(_GROWN)
    output.fact('target', f'backing store grown from {_SIZE} to {_GROWN} MiB')
    with output.step('extend'):
        told = connector.extend_volume(props)
    output.fact('after', look.sizes(path))
    output.require(told == bigger, f'extend_volume said {told}, the volume has {bigger} bytes')
    seen = {support.size(name) for name in (path, *support.disks_of(path))}
    output.require(seen == {bigger}, 'a device has not the new size')
    end = os.urandom(support.BLOCK)
    support.write(path, end, bigger - support.BLOCK)
    arrived = volume.read(support.BLOCK, bigger - support.BLOCK)
    output.require(arrived == end, 'the last block cannot be written')


def _left(before: lab.oracle.Snapshot) -> None:
    until = time.monotonic() + _LEFT_SECONDS
    left = lab.oracle.difference(before, lab.oracle.snapshot())
    while left and time.monotonic() < until:
        time.sleep(0.1)
        left = lab.oracle.difference(before, lab.oracle.snapshot())
    output.fact('left', left or 'nothing (disks, maps, sessions, records, links, locks, WWIDs)')
    output.require(not left, 'the host is not as it was')
