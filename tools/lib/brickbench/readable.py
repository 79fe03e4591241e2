# SPDX-License-Identifier: Apache-2.0
"""The acts that measure from the last login to a map that can be read."""

import functools
import pathlib
import threading
import time

from brickbench import comparison, rows, scenarios
from tests.functional import lab, support

_LUN = 1
_BLOCK = 4096
_PAUSE_SECONDS = 0.01
_SECONDS = 60.0
_SESSIONS = pathlib.Path('/sys/class/iscsi_session')


class _Logins(threading.Thread):
    """Looks for the moment at which so many sessions are logged in."""

    def __init__(self, count: int) -> None:
        super().__init__(daemon=True)
        self._count = count
        self.at = 0.0

    def run(self) -> None:
        end = time.monotonic() + _SECONDS
        while time.monotonic() < end and not self.at:
            states = [lab.shell.read(each / 'state') for each in _SESSIONS.glob('session*')]
            if states.count('LOGGED_IN') >= self._count:
                self.at = time.monotonic()
            time.sleep(_PAUSE_SECONDS)


def four(where: comparison.Comparison) -> None:
    """Over four portals."""
    _rounds(where, 4)


def eight(where: comparison.Comparison) -> None:
    """Over eight portals."""
    _rounds(where, 8)


def _rounds(where: comparison.Comparison, portals: int) -> None:
    volume = where.testbed.volume(f'benchmap{portals}', scenarios.MEBIBYTES)
    target = where.testbed.target(f'benchmap{portals}', portals)
    target.map(_LUN, volume)
    props = target.properties(_LUN, plural=True)
    with comparison.multipathd(find_multipaths='no'):
        scenarios.warm_up(where, props, multipath=True, extend=False)
        for side in where.turns():
            with where.clean(side):
                _attached(where, side, props, portals)
            if side is where.ours:
                with where.clean(where.ours):
                    _by_hand(where, volume.wwid, props)


def _attached(
    where: comparison.Comparison, side: comparison.Side, props: comparison.Props, portals: int
) -> None:
    worker = side.worker(multipath=True)
    lab.shell.settle()
    logins = _Logins(portals)
    logins.start()
    info = worker.call('connect_volume', props)
    _read(info['path'])
    ended = time.monotonic()
    logins.join()
    # An attach may have been done before the last portal answered.
    where.add(f'map-{portals}', side.name, rows.Sample(max(0.0, ended - logins.at)))
    support.wait_disks(info['path'], portals)
    worker.call('disconnect_volume', props, info)


def _by_hand(where: comparison.Comparison, wwid: str, props: comparison.Props) -> None:
    """Log in one portal after the other, scan, and have multipathd add each disk."""
    portals = props['target_portals']
    node = ('iscsiadm', '-m', 'node', '-T', props['target_iqn'], '-p')
    lab.daemons.iscsid_default('node.session.scan', 'manual')
    disks = support.disks()
    try:
        for portal in portals:
            lab.shell.run(*node, portal, '--op', 'new')
            lab.shell.run(*node, portal, '--login')
        began = time.monotonic()
        support.scan(props['target_iqn'], _LUN)
        new = functools.partial(_all_new, disks, len(portals))
        found = lab.shell.until(new, _SECONDS, 'every disk is there', pause=_PAUSE_SECONDS)
        for disk in sorted(found):
            lab.daemons.ask(f'add path {disk}')
        path = pathlib.Path(f'/dev/mapper/{wwid}')
        lab.shell.until(path.exists, _SECONDS, 'the map is there', pause=_PAUSE_SECONDS)
        _read(str(path))
        where.add(f'map-{len(portals)}', rows.EASIER, rows.Sample(time.monotonic() - began))
        support.wait_disks(str(path), len(portals))
    finally:
        lab.shell.settle()
        for word in ('-f', '-w'):  # The map, and what multipathd has noted of it.
            lab.shell.run('multipath', word, wwid, check=False)
        for portal in portals:
            support.logout({**props, 'target_portal': portal})
        lab.daemons.start_iscsid()


def _all_new(before: set[str], count: int) -> set[str]:
    new = support.disks() - before
    return new if len(new) >= count else set()


def _read(path: str) -> None:
    with open(path, 'rb', buffering=0) as device:
        if len(device.read(_BLOCK)) != _BLOCK:
            raise AssertionError(f'{path} cannot be read')
