# SPDX-License-Identifier: Apache-2.0
"""Addressing modes, translated once, on every path, for attach, extend and detach."""

import pytest

from tests.functional import lab, support

FLAT = 0x4000
# LIO takes the first level of the LUN field as a plain number, so an array that uses flat
# addressing is one that has the LUN at 16384 + n.
MODES = [
    pytest.param('SAM', 3, 3, id='SAM'),
    pytest.param('SAM', 300, 300, id='SAM-300'),
    pytest.param('SAM2', 3, 3, id='SAM2-3'),
    pytest.param('SAM2', 300, FLAT + 300, id='SAM2-300'),
    pytest.param('SAM3-flat', 3, FLAT + 3, id='SAM3-flat-3'),
    pytest.param('SAM3-flat', 300, FLAT + 300, id='SAM3-flat-300'),
    pytest.param('transparent', FLAT + 300, FLAT + 300, id='transparent'),
    pytest.param('SAM2', '300', FLAT + 300, id='SAM2-text'),
]


# Every mode on one path, and the ones that translate on the others: a few seconds each.
CASES = [
    *(pytest.param('single', *mode.values, id=f'single-{mode.id}') for mode in MODES),
    *(
        pytest.param(how, 'SAM2', 300, FLAT + 300, id=f'{how}-SAM2-300')
        for how in ('static', 'discovered')
    ),
]


@pytest.mark.parametrize(('how', 'mode', 'lun', 'wire'), CASES)
def test_addressing(shelf, how, mode, lun, wire):
    """Addressing modes SAM, SAM2, SAM3-flat, transparent, translated once, on every path, for
    attach, extend and detach."""
    volume = support.stamped(shelf, 'mode')
    target = shelf.target('mode', 1 if how == 'single' else 2)
    target.map(wire, volume)
    props = target.properties(lun, plural=how == 'static', addressing_mode=mode)
    connector = lab.bricks.ours(multipath=how != 'single')
    info = connector.connect_volume(props)
    support.assert_is(info['path'], volume)
    assert connector.get_volume_paths(props)
    bigger = volume.grow(48)
    assert connector.extend_volume(props) == bigger
    connector.disconnect_volume(props, info)


def test_unknown_mode(shelf, single):
    """A mode that there is not is an error that names it, before any login."""
    target = shelf.target('nomode', 1)
    with pytest.raises(Exception, match='SAM17'):
        single.connect_volume(target.properties(1, addressing_mode='SAM17'))
    assert support.session_count(target.iqn) == 0
    assert lab.oracle.records() == frozenset() or not any(
        target.iqn in line for line in lab.oracle.records()
    )
