# SPDX-License-Identifier: Apache-2.0
"""Names as the kernel's, the tools' and array vendors' documents have them are valid."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
import pytest

from os_brick.model import addresses, fabrics, names

VALID = {
    names.ISCSI_NAME: [
        # RFC 7143, 4.2.7, and RFC 3980.
        'iqn.2001-04.com.example:storage.tape1.sys1.xyz',
        'iqn.2001-04.com.example',
        'eui.02004567A425678D',
        'naa.52004567BA64678D',
        'naa.62004567BA64678D0123456789ABCDEF',
        # LIO (targetcli), tgt, FreeNAS and Cinder's own drivers.
        'iqn.2003-01.org.linux-iscsi.localhost.x8664:sn.0123456789ab',
        'iqn.2010-10.org.openstack:volume-6f0c1c1e-2222-4333-8444-555566667777',
        'iqn.2005-10.org.freenas.ctl:vol_1',
        'IQN.2001-05.com.Example:Mixed',
        # Vendors' documents.
        'iqn.1992-08.com.netapp:sn.135112345:vs.3',
        'iqn.2000-09.com.fujitsu:storage-system.eternus-dxl:00001234',
        'iqn.2001-05.com.equallogic:0-8a0906-2f2a60d04-5d4000000304dd3a-vol~1',
        'iqn.1986-03.com.ibm:2145.cluster1.node1',
        'iqn.2000-05.com.3pardata:20210002ac000001',
        'iqn.1992-04.com.emc:cx.apm00012345678.a0',
        'iqn.2010-06.com.purestorage:flasharray.3d5a1b2c4e6f7a89',
        'iqn.2007-11.com.nimblestorage:vol-v1-0123456789abcdef.00000001.01234567',
        'iqn.2006-08.com.huawei:oceanstor:21000022a10b2c3d::20000:10.0.0.1',
        'iqn.1994-04.jp.co.hitachi:rsd.d8s.t.10086.1a001',
        'iqn.2004-04.com.qnap:ts-469:iscsi.Vol_1*',
        # RFC 3722: what is left after string preparation may be beyond ASCII.
        'iqn.2001-04.com.example:größe-江月',
    ],
    names.DISCOVERY_WORD: [
        'nqn.2016-01.com.lightbitslabs:uuid:6bbb54a0-6a7c-4b7c-9c57-0d0f3a1b2c3d',
        '10.0.0.1',
        'fd00::1',
    ],
    names.NQN: [
        # NVM Express Base Specification 2.0, 4.5.
        'nqn.2014-08.com.example:nvme:nvm-subsystem-sn-d78432',
        'nqn.2014-08.org.nvmexpress:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6',
        'nqn.2014-08.org.nvmexpress.discovery',
        # Cinder's nvmet target, blktests, nvmetcli, SPDK, libnvme's tests.
        'nqn.nvme-subsystem-1-6f0c1c1e-2222-4333-8444-555566667777',
        'blktests-subsystem-1',
        'test_subnqn',
        'testnqn',
        'KK',
        'nqn.2016-06.io.spdk:cnode1',
        # Vendors' documents; the kernel makes names of its own with "2014.08" and blanks in them.
        'nqn.1992-08.com.netapp:sn.0123456789abcdef0123456789abcdef:subsystem.ss_1',
        'nqn.1988-11.com.dell:powerstore:00:0123456789ab0123456789',
        'nqn.1988-11.com.dell.mvs.2.0.1.0',
        'nqn.2010-06.com.purestorage:flasharray.3d5a1b2c4e6f7a89',
        'nqn.1986-03.com.ibm:nvme:2145.0000020420016e12.iogroup0',
        'nqn.2020-07.com.hpe:0123-4567-89ab',
        'nqn.2014.08.org.nvmexpress:80868086BTLJ  1234',
        'größe',
        'x' * 222,
    ],
    names.IFACE: [
        *('default', 'iser', 'bnx2i.00:10:18:b1:e3:f1', 'storage.101', 'iface0', 'eth0_storage'),
        *('cxgb4i.00:07:43:05:97:78.ipv4.0', 'two words', 'größe'),
    ],
    names.INTERFACE: ['eth0', 'enp0s31f6', 'bond0.100', 'br-ex', 'ib0.8001', 'a@b', 'größe', '+x#'],
    names.HOST_NAME: [
        *(
            'san',
            'SAN',
            'san.example.org',
            'san.example.org.',
            'lab-portal.',
            'my_san',
            '_x._tcp.a',
        ),
        *('xn--grsse-jua.example', '3com.example', '0x.example', 'a' * 63, '10.0.0.1.example.'),
    ],
    names.MAP: ['mpatha', 'mpath-1', '36001405', 'my disk', 'größe', 'a"b', '-a', '$x'],
    names.WWID: [
        '36001405e07e81c20',
        '1NETAPP_LUN_81LgM$V4waSp',
        'eui.0025385b71b00a1f',
        '0QEMU_x',
        '1a\u3000b\xa0',
    ],
    names.WWID_TEXT: ['1IET     00010001', '1X_(a/b)!$é', '36001405', '\t', 'SVENDOR_x', '.'],
    names.RECORD_VALUE: [
        'user',
        'pa55 word',
        '#a',
        '"a"',
        "a'",
        '=a',
        '\\a',
        '江月',
        'é' * 127,
        '',
    ],
    # lvm(8); vgs(8) of Debian, Fedora and cinder.
    names.VG: [
        'gold',
        'cinder-volumes',
        'debian-vg',
        'fedora_host.1',
        '+x',
        '_y',
        'VG00',
        'x' * 127,
    ],
    names.STORPOOL_VOLUME: ['v', 'os--volume-6f0c1c1e-2222', '#a', 'A.b:c_d', 'x' * 200],
    names.STORPOOL_GLOBAL_ID: ['zx4.b.9', 'a.1.f'],
    names.LV: ['root', 'volume-6f0c1c1e-2222-4333-8444-555566667777', 'a+b._-c', '_snapshot-1'],
    names.PV_PATH: [
        '/dev/sdb',
        '/dev/mapper/mpath-1',
        '/dev/disk/by-id/wwn-0x5001:1',
        '/dev/größe',
    ],
    names.MD_ALIAS: ['vol-1', 'volume-6f0c1c1e-2222-4333-8444-555566667777', 'a_b.c:d'],
    names.MD_ARRAY: ['md127', 'md_vol-1', 'md_Gold.1'],
    names.BLOCK: ['sda', 'nvme0c1n1', 'md_Gold.1', 'dm-4', 'zram0', 'rbd0p1', 'nbd15'],
    # cinder's and glance's names; ceph(8), rbd(8).
    names.RBD: ['volumes', 'volume-6f0c1c1e-2222-4333-8444-555566667777', 'my pool', '-', 'größe'],
    names.RBD_MAPPED: ['volumes', 'volume-1', '.mgr', 'a,b', 'größe'],
    names.RBD_OPTION: ['gold', 'größe', 'a=b'],
    names.CEPH_USER: ['cinder', 'cinder-backup', 'rbd.a_b', 'a@b', 'a:b'],
    names.CEPH_CLUSTER: ['ceph', 'backup-2', 'a.b_c', 'x'],
}
INVALID = {
    names.ISCSI_NAME: [
        *('', 't1', 'iqn', 'iqn.', 'iqn.a/b', 'iqn.a/../b', 'iqn.a b', 'iqn.a,b', 'iqn.a\n'),
        *('iqn.' + 'a' * 220, 'iqn.' + 'é' * 110, '-iqn.a', 'iqn.a\0'),
    ],
    names.NQN: ['', ' ', 'a,b', 'a\nb', 'a\0', 'x' * 223, 'é' * 112, ' a', 'a\u2028b', '\ud800'],
    names.DISCOVERY_WORD: ['', 'a b', 'a=b', 'a#b', 'a\n', 'a\t', '\ud800', 'x' * 256],
    names.HOST_NQN: ['# a comment', '"nqn.a"', "'nqn.a'", 'a,b', '', '\ufeffnqn.a'],
    names.IFACE: ['', '.', '..', '../a', 'a/b', 'a,b', '-a', ' a', 'a ', 'a' * 65, 'a\tb'],
    names.INTERFACE: ['', '.', '..', 'a/b', 'a:b', 'a b', 'a,b', 'a' * 16, 'é' * 8, 'a\0'],
    names.ZONE: ['', '*', 'a*', '[a]', 'a?', 'a%b', 'a b', 'a,b', '\0', '..', 'a\\b'],
    names.HOST_NAME: [
        *('', '.', '..', 'a..b', '-a', 'a-', 'a b', 'a/b', 'a*', 'größe', 'a' * 64, 'a\0', 'a\n'),
        # inet_aton() spells addresses so, and so getaddrinfo() takes them for such.
        *('1', '0x7f000001', '0X7F000001', '127.1', '010.0.0.1', '10.0.0.1.', '10.0.0.256', '0x'),
        *('a.1', 'a.0x1', '1.', '017700000001', 'a.' * 127 + 'a'),
    ],
    names.MAP: ['', 'a/b', 'a\nb', 'x' * 128],
    names.WWID: ['', 'a', '../x', 'a b', 'a/b', 'a"b', '-a', '.a', 'x' * 128, 'a\n'],
    names.WWID_TEXT: ['', 'a\nb', 'a\0b', 'a\rb', 'x' * 1025, '\ud800'],
    names.RECORD_VALUE: [' a', 'a ', 'a\n', '\ta', 'a\x85b', 'a\u2028b', 'x' * 256, 'a\x0cb'],
    names.VG: ['', '.', '..', '-a', 'a/b', 'a b', '@tag', 'é', 'a\n', 'x' * 128],
    names.STORPOOL_VOLUME: ['', '~a.b.c', 'a/b', 'a b', '#', 'é', 'a\n', 'x' * 201],
    names.STORPOOL_GLOBAL_ID: ['', 'a.b', 'A.b.c', '../..', 'a.b.c.d', '~a.b.c', 'a.b.c\n'],
    names.LV: ['', '.', '..', '-a', 'gold/a', 'a b', '@tag', '[a]', 'a:b', 'x' * 128],
    names.PV_PATH: ['', 'sdb', '-f', '/dev/', '/dev/a,/dev/b', '/dev/a b', '@tag', '/dev/a\n'],
    names.MD_ALIAS: ['', 'a/b', '..', 'a..b', '-a', 'a b', 'x' * 65],
    names.MD_ARRAY: ['md', 'md_', 'md_a/b', 'sda', 'md_..', 'md_' + 'a' * 29],
    names.BLOCK: ['', 'a/b', 'cciss!c0d0', '..', 'a..b', '-a', 'a' * 32, 'a b'],
    names.RBD: ['', 'a/b', 'a@b', 'a\n', 'a\0', 'x' * 1025, '\u2028'],
    names.RBD_MAPPED: ['', 'a b', 'a\tb', 'a/b', 'a@b', 'a\n', '\xa0'],
    names.RBD_OPTION: ['', 'a,ro', 'a b', 'a/b', 'a@b', 'a\n'],
    names.CEPH_USER: [
        '',
        'a,ro',
        'a b',
        '../a',
        'a]',
        '[a',
        'a=b',
        '$id',
        'a;b',
        '#a',
        'a"',
        'a\n',
    ],
    names.CEPH_CLUSTER: ['', '.', '..', '../a', 'a/b', '-a', 'a.', '$a', 'a b', 'a\n', 'é'],
}
RULES = [rule for rule in vars(names).values() if isinstance(rule, names.Rule)]


@pytest.mark.parametrize(
    ('rule', 'text'), [(rule, text) for rule, texts in VALID.items() for text in texts]
)
def test_valid(rule: names.Rule, text: str) -> None:
    assert rule.parse(text) == text


@pytest.mark.parametrize(
    ('rule', 'text'), [(rule, text) for rule, texts in INVALID.items() for text in texts]
)
def test_invalid(rule: names.Rule, text: str) -> None:
    with pytest.raises(ValueError, match=f'is not a valid {rule.what}: '):
        rule.parse(text)


@pytest.mark.parametrize('rule', RULES, ids=lambda rule: rule.what)
@pytest.mark.parametrize('value', [None, 7, b'a', ['a'], {'a': 1}, 1.5, float('nan'), object()])
def test_something_else_than_a_text(rule: names.Rule, value: object) -> None:
    with pytest.raises(ValueError, match=f'expected a text, got {type(value).__name__}'):
        rule.parse(value)


@pytest.mark.parametrize('rule', RULES, ids=lambda rule: rule.what)
@given(text=st.text(max_size=300))
def test_what_is_valid_is_one_line_that_can_be_written(rule: names.Rule, text: str) -> None:
    if rule.why_not(text) is None:
        assert rule.parse(text) == text
        assert len(text.encode()) <= rule.most_bytes
        assert '\0' not in text
        assert len(text.split('\n')) == 1


NESTED: list[Any] = []
NESTED.append(NESTED)


@pytest.mark.parametrize(
    'value',
    ['x' * 100_000, b'x' * 100_000, 10**5000, 2**64, ['x' * 500] * 500, NESTED, {1: [[[[2]]]]}],
    ids=lambda value: type(value).__name__,
)
def test_a_long_value_is_shown_in_short(value: object) -> None:
    assert 0 < len(names.shown(value)) < 200


def test_a_short_value_is_shown_as_it_is() -> None:
    assert names.shown('a\nb') == r"'a\nb'"
    assert names.shown([1, 'x']) == "[1, 'x']"
    assert '\ud800'.encode(errors='backslashreplace').decode() in names.shown('\ud800')


@given(st.text('abzABZ019_-.xX', min_size=1, max_size=20))
def test_a_host_name_is_the_same_for_all_transports(name: str) -> None:
    if names.HOST_NAME.why_not(name) is None:
        portal = addresses.Portal.parse(f'{name}:3260')
        assert portal == addresses.Portal(name.lower(), 3260)
        assert addresses.Portal.parse(str(portal)) == portal
        assert fabrics.NvmePortal.parse(name, 4420, 'tcp').address == portal.address


@pytest.mark.parametrize(
    ('text', 'address'),
    [
        ('lab-portal.:3260', 'lab-portal.'),
        ('my_san:3260', 'my_san'),
        ('[fe80::1%eth0]:3260', 'fe80::1%eth0'),
        ('fe80::1%2', 'fe80::1%2'),
        ('[FE80::1%bond0.100]:3260,1', 'fe80::1%bond0.100'),
        ('[::ffff:10.0.0.1]:3260', '10.0.0.1'),
        ('xn--grsse-jua.example:3260', 'xn--grsse-jua.example'),
        ('10.0.0.1:3260,-1', '10.0.0.1'),
        ('10.0.0.1:3260,', '10.0.0.1'),
    ],
)
def test_addresses(text: str, address: str) -> None:
    assert addresses.Portal.parse(text).address == address
    bare = text.partition(']')[0].strip('[') if '[' in text else text.partition(':3260')[0]
    assert fabrics.NvmePortal.parse(bare, 4420, 'tcp').address == address


@pytest.mark.parametrize(
    'text',
    [
        *('1', '0x7f000001:3260', '127.1', '010.0.0.1', '10.0.0.1.', 'fe80::1%\0', 'fe80::1%a b'),
        *('fe80::1%*', '[fe80::1%*]:3260', 'fe80::1%eth0,nqn=x', 'a\0', '10.0.0.1\0'),
        *(
            '10.0.0.1,x',
            '10.0.0.1:3260,1,1',
            '10.0.0.1:3260,1\0',
            'a b',
            '*',
            '--login',
            '[san]:3260',
        ),
        *('größe:3260', 'fe80::1%' + 'a' * 16),
    ],
)
def test_what_is_no_portal_is_none_for_any_transport(text: str) -> None:
    with pytest.raises(ValueError, match='is not a valid portal'):
        addresses.Portal.parse(text)
    with pytest.raises(ValueError, match='is not a valid'):
        fabrics.NvmePortal.parse(text, 4420, 'tcp')
