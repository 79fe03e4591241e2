# SPDX-License-Identifier: Apache-2.0
"""The acts with NVMe namespaces."""

import functools
import pathlib
import time

from brickbench import comparison, rows, scenarios
from tests.functional import lab, support

_NSID = 1
_PROTOCOL = 'NVMEOF'
_BLOCK = 4096


def _served(
    where: comparison.Comparison, name: str, ports: int, block: int = 512
) -> tuple[lab.nvmet.Store, lab.nvmet.Subsystem]:
    store = where.testbed.store(f'bench{name}', scenarios.MEBIBYTES, block)
    subsystem = where.testbed.subsystem(f'bench{name}', ports, 'tcp')
    subsystem.map(_NSID, store)
    return store, subsystem


def one(where: comparison.Comparison) -> None:
    """Attach over one portal, with the bare write to the kernel beside it, and detach."""
    _store, subsystem = _served(where, 'nvme', 1)
    props = subsystem.properties(_NSID)
    scenarios.warm_up(where, props, protocol=_PROTOCOL, extend=False)
    for side in where.turns():
        with where.clean(side):
            call = functools.partial(where.call, protocol=_PROTOCOL)
            info = call('nvme-attach', side, 'connect_volume', props)
            if side is where.ours:
                seconds = where.samples['nvme-attach', rows.OURS][-1].value
                where.add('nvme-over-floor', rows.OURS, rows.Sample(seconds))
            call('nvme-detach', side, 'disconnect_volume', props, info)
        if side is where.ours:
            _floor(where, subsystem)
    for _ in range(2):
        with comparison.recorded() as programs:
            where.ours.worker(multipath=False, protocol=_PROTOCOL).properties()
        seconds = where.ours.worker(multipath=False, protocol=_PROTOCOL).elapsed
    where.add('nvme-properties', rows.OURS, rows.Sample(seconds, tuple(programs)))


def _floor(where: comparison.Comparison, subsystem: lab.nvmet.Subsystem) -> None:
    """The write to /dev/nvme-fabrics, until the namespace can be read."""
    with where.clean(where.ours):
        lab.shell.settle()
        began = time.monotonic()
        name = lab.nvmet.connect(subsystem, 0)
        heads = functools.partial(_heads, name)
        (head,) = lab.shell.until(heads, 10, 'the namespace is there', pause=0.002)
        lab.shell.until(pathlib.Path(f'/dev/{head}').exists, 10, 'its node', pause=0.002)
        with open(f'/dev/{head}', 'rb', buffering=0) as device:
            device.read(_BLOCK)
        where.add('nvme-over-floor', rows.EASIER, rows.Sample(time.monotonic() - began))
        lab.shell.write(lab.nvmet.CLASS / name / 'delete_controller', 1)


def _heads(controller: str) -> set[str]:
    """The block devices of the namespaces behind a controller."""
    found = set()
    for path in (lab.nvmet.CLASS / controller).glob('nvme*n*'):
        left, _, number = path.name.rpartition('n')
        head = f'{left.partition("c")[0]}n{number}'
        if int(lab.shell.read(pathlib.Path('/sys/class/block') / head / 'size') or 0):
            found.add(head)
    return found


def grown(where: comparison.Comparison) -> None:
    """Extend a namespace with 4 KiB blocks."""
    store, subsystem = _served(where, 'nvme4k', 1, _BLOCK)
    props = subsystem.properties(_NSID)
    sizes = scenarios.sizes()
    for side in where.turns(min(where.rounds, 2)):
        with where.clean(side):
            call = functools.partial(where.call, protocol=_PROTOCOL)
            info = call('', side, 'connect_volume', props)
            store.grow(next(sizes))
            known = {**props, 'device_path': info['path']}
            call('nvme-extend', side, 'extend_volume', known)
            if support.size(info['path']) != store.size:
                comparison.report(f'nvme-extend {side.name}: the device has not grown')
            call('', side, 'disconnect_volume', props, info)


def hole(where: comparison.Comparison) -> None:
    """Attach over four portals, one of which swallows every packet."""
    _store, subsystem = _served(where, 'nvmehole', 4)
    props = subsystem.properties(_NSID)
    dead = subsystem.ports[2].address
    scenarios.warm_up(where, props, multipath=True, protocol=_PROTOCOL, extend=False)
    try:
        for _ in range(where.rounds):
            for column in (rows.EASIER, rows.OURS):
                with where.clean(where.ours):
                    lab.shell.settle()
                    if column == rows.OURS:
                        lab.net.cut(dead)
                    worker = where.ours.worker(multipath=True, protocol=_PROTOCOL)
                    info = worker.call('connect_volume', props)
                    where.add('nvme-hole', column, rows.Sample(worker.elapsed))
                    lab.net.heal_all()
                    worker.call('disconnect_volume', props, info)
    finally:
        lab.net.heal_all()
