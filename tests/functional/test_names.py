# SPDX-License-Identifier: Apache-2.0
"""Portals and LUNs in every spelling."""

import pytest

from tests.functional import lab, support

IPV6 = ['[fd00:99::1]:3260', '[FD00:99::1]:3260', '[fd00:0099:0:0::0001]:3260', '[fd00:99::1]']


def there_and_back(connector, volume, props, other=None):
    """Attach, prove, extend, detach (with another spelling of the same, if given)."""
    with support.Stopwatch() as watch:
        info = connector.connect_volume(props)
        support.assert_is(info['path'], volume)
        bigger = volume.grow(48)
        assert connector.extend_volume(props) == bigger
        connector.disconnect_volume(other or props, info)
    assert watch.seconds < 40
    assert support.session_count(props['target_iqn']) == 0


@pytest.mark.parametrize('spelling', IPV6)
@pytest.mark.parametrize('multipath', [False, True])
def test_ipv6(shelf, spelling, multipath):
    """IPv6 in any spelling; detach may use another one."""
    volume = support.stamped(shelf, 'six')
    target = shelf.target('six', lab.net.V6[:1])
    target.map(1, volume)
    props = target.properties(1, target_portal=spelling)
    connector = lab.bricks.ours(multipath=multipath)
    there_and_back(connector, volume, props, target.properties(1, target_portal=IPV6[0]))


def test_ipv6_plural_and_mixed(shelf, multi):
    """Two IPv6 portals and an IPv4 one, the former in unusual spellings."""
    volume = support.stamped(shelf, 'mixed')
    target = shelf.target('mixed', [*lab.net.V6[:2], lab.net.V4[0]])
    target.map(1, volume)
    props = target.properties(1, plural=True)
    props['target_portals'] = ['[FD00:99:0::1]:3260', '[fd00:99::0:2]:3260', '10.99.0.1:3260']
    info = multi.connect_volume(props)
    support.wait_disks(info['path'], 3)
    support.assert_is(info['path'], volume)
    multi.disconnect_volume(target.properties(1, plural=True), info)


@pytest.mark.parametrize('portal', ['lab-portal:3260', 'lab-portal', 'LAB-portal:3260'])
@pytest.mark.parametrize('multipath', [False, True])
def test_host_names(shelf, portal, multipath):
    """Host names, a portal with or without port."""
    volume = support.stamped(shelf, 'named')
    target = shelf.target('named', 1)
    target.map(1, volume)
    connector = lab.bricks.ours(multipath=multipath)
    with lab.net.names(lab_portal=lab.net.V4[0]):
        there_and_back(connector, volume, target.properties(1, target_portal=portal))


def test_host_name_that_does_not_resolve(shelf, single):
    """A host name that no one knows is an error that names it, soon."""
    target = shelf.target('unknown', 1)
    props = target.properties(1, target_portal='no-such-host.invalid:3260')
    with support.Stopwatch() as watch, pytest.raises(Exception, match=r'no-such-host\.invalid'):
        single.connect_volume(props)
    assert watch.seconds < 30


@pytest.mark.parametrize('portal', ['10.99.0.1', '10.99.0.1:3260,1', '10.99.0.1,1'])
@pytest.mark.parametrize('multipath', [False, True])
def test_port_or_none(shelf, portal, multipath):
    """A portal with or without port, or with the portal group's tag behind it."""
    volume = support.stamped(shelf, 'port')
    target = shelf.target('port', 1)
    target.map(1, volume)
    connector = lab.bricks.ours(multipath=multipath)
    there_and_back(connector, volume, target.properties(1, target_portal=portal))


@pytest.mark.parametrize('lun', [1, '1'])
@pytest.mark.parametrize('plural', [False, True])
def test_lun_as_text(shelf, multi, lun, plural):
    """LUN as `int` or text; what was attached with the one is detached with the other."""
    volume = support.stamped(shelf, 'text')
    target = shelf.target('text', 2)
    target.map(1, volume)
    props = target.properties(1, plural=plural, target_lun=lun)
    other = target.properties(1, plural=plural, target_lun=1 if lun == '1' else '1')
    if plural:
        props['target_luns'] = [lun, lun]
        other['target_luns'] = [other['target_lun']] * 2
    there_and_back(multi, volume, props, other)


def test_other_port(shelf, single):
    """A portal on a port of its own."""
    volume = support.stamped(shelf, 'other')
    target = shelf.target('other', 1)
    target.map(1, volume)
    (target.groups[0].root / 'np' / '10.99.0.2:13260').mkdir()
    props = target.properties(1, target_portal='10.99.0.2:13260')
    there_and_back(single, volume, props)


def test_different_lun_on_each_portal(shelf, multi):
    """target_luns: the volume has a number of its own on each target portal."""
    volume = support.stamped(shelf, 'luns')
    target = shelf.target('luns', 2, apart=True)
    target.groups[0].map(1, volume)
    target.groups[1].map(5, volume)
    props = target.properties(1, plural=True, target_luns=[1, 5])
    info = multi.connect_volume(props)
    support.wait_disks(info['path'], 2)
    support.assert_is(info['path'], volume)
    multi.disconnect_volume(props, info)


def test_different_iqn_on_each_portal(shelf, multi):
    """target_iqns: arrays with a name for each portal."""
    volume = support.stamped(shelf, 'iqns')
    one, two = shelf.target('iqn-a', ['10.99.0.1']), shelf.target('iqn-b', ['10.99.0.2'])
    for target in (one, two):
        target.map(1, volume)
    props = one.properties(1)
    props |= {
        'target_portals': [*one.portals, *two.portals],
        'target_iqns': [one.iqn, two.iqn],
        'target_luns': [1, 1],
    }
    info = multi.connect_volume(props)
    support.wait_disks(info['path'], 2)
    support.assert_is(info['path'], volume)
    multi.disconnect_volume(props, info)
    assert support.session_count(two.iqn) == 0


def test_single_path_falls_over_to_the_next_portal(shelf, single):
    """Plural keys without multipath are a list to try: the first portal refuses."""
    volume = support.stamped(shelf, 'over')
    target = shelf.target('over', 2)
    target.map(1, volume)
    props = target.properties(1, plural=True)
    refusing = lab.net.portal(lab.net.REFUSING)
    props['target_portals'] = [refusing, target.portals[1]]
    there_and_back(single, volume, {**props, 'target_portal': refusing})
