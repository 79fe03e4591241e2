# SPDX-License-Identifier: Apache-2.0
"""No argument of a root function is an option, a path, or more than one word."""

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
import pytest

from os_brick import exception
from os_brick.privileged import check

GOOD = {
    check.disk: ['sda', 'sdz', 'sdaa', 'sdabc'],
    check.block: [
        'sda',
        'dm-0',
        'dm-1048575',
        'nvme0n1',
        'nvme1c2n3',
        'md127',
        'loop0',
        'md_Gold.1',
    ],
    check.map_uuid: ['mpath-3600', 'part1-mpath-3600', 'mpath-mpath-', 'mpath-S\\x20a'],
    check.hctl: ['0:0:0:0', '12:0:3:16640'],
    check.address: ['10.0.0.1', 'fe80::1', '::', 'array-1.example.org', 'SAN', 'FE80::1%eth0.7'],
}
# Names that others have given, and may have made of more than letters and digits.
GIVEN: dict[Callable[[Any], str], list[str]] = {
    check.map_name: ['mpatha', '3600140512345678', 'vol-1', 'a', 'my disk', 'größe', '-a', 'a"b'],
    check.wwid: [
        '36001405e07e81c20cf5935f5225765f0',
        '1Linux_scsi_debug_2000',
        '1LIO-ORG_disk:5c',
        'eui.0025385b71b00a1f',
        '1NETAPP_LUN_81LgM$V4waSp',
        '1ATA_(x)_é!',
    ],
    check.target: [
        'iqn.2026-11.org.lab:t1',
        'eui.02004567A425678D',
        'naa.52004567BA64678D',
        'iqn.2004-04.com.qnap:ts-1:vol_1*',
    ],
    check.iface: ['default', 'iser', 'bnx2i.00:05:b5:d2:a0:c2', 'storage.101', 'two words'],
    check.nqn: ['nqn.2026-11.org.lab:t1', 'KK', 'two words', 'größe'],
}
TEXT_CHECKS: list[Callable[[Any], str]] = list(GOOD)
HOSTILE = [
    *(
        '',
        ' ',
        '-',
        '--',
        '-a',
        '--op',
        '--login',
        '-oProxyCommand=x',
        '.',
        '..',
        '../sda',
        '/dev/sda',
    ),
    *(
        'sda/../sdb',
        'a/b',
        '/',
        '//',
        'sda ',
        ' sda',
        'sda\n',
        '\nsda',
        'sda\0',
        'sda sdb',
        'sda;ls',
    ),
    *('$(id)', '`id`', 'a|b', 'a&b', 'a>b', "a'b", 'a"b', 'a\\b', 'a\tb', 'a\rb', 'a\x7fb', 'a%b'),
    *(
        'a' * 300,
        'sda\N{NO-BREAK SPACE}',
        '\N{FULLWIDTH SOLIDUS}',
        'é',
        '{a}',
        '*',
        'a?',
        '[a]',
        '!x',
    ),
]
FORBIDDEN = set('/\\ \t\r\n\0\'"`$;|&<>*?(){}!%^')


@pytest.mark.parametrize(
    ('function', 'value'),
    [
        (function, value)
        for table in (GOOD, GIVEN)
        for function in table
        for value in table[function]
    ],
)
def test_good(function: Callable[[Any], str], value: str) -> None:
    assert function(value) == value


@pytest.mark.parametrize('value', [*HOSTILE, None, b'sda', ['sda'], ('sda',), 1.0])
@pytest.mark.parametrize('function', TEXT_CHECKS, ids=lambda function: function.__name__)
def test_hostile(function: Callable[[Any], str], value: object) -> None:
    with pytest.raises(exception.InvalidParameterValue):
        function(value)


@pytest.mark.parametrize(
    'value',
    [
        *('', '/', '//', '..', '../sda', '/dev/sda', 'a/b', 'sda/../sdb', 'iqn.a/../b', 'eui.a/b'),
        *('a\nb', 'iqn.a\nb', 'a\0', 'iqn.a\0', 'a\x85b', 'iqn.a\u2028b', 'a\ud800', 'iqn.a\x7f'),
        *('a' * 300, 'iqn.' + 'a' * 220, 'é' * 120, None, b'iqn.a', ['a'], 1.0),
    ],
)
@pytest.mark.parametrize('function', GIVEN, ids=lambda function: function.__name__)
def test_a_given_name_is_one_line_and_no_path(
    function: Callable[[Any], str], value: object
) -> None:
    if value == '..' and function is check.map_name:
        return  # It goes to multipathd in quotes, and is part of no path.
    if isinstance(value, str) and '/' in value and function is check.nqn and '\n' not in value:
        return  # Subsystems may be called so; it is part of no path.
    if function is check.nqn and value == '..':
        return
    with pytest.raises(exception.InvalidParameterValue) as caught:
        function(value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize('function', [check.iface, check.target, check.address, check.wwid])
@given(value=st.text(max_size=20) | st.from_regex(r'[-.iqn/*a ]{0,20}', fullmatch=True))
def test_a_word_of_a_command_line_is_no_option(function: Callable[[Any], str], value: str) -> None:
    try:
        word = function(value)
    except exception.InvalidParameterValue:
        return
    assert word == value
    assert not word.startswith(('-', '.'))
    assert '/' not in word
    assert len(word.splitlines()) == 1


@given(st.text(max_size=40) | st.from_regex(r'[a-z0-9.:/ \n-]{0,30}', fullmatch=True))
def test_whatever_passes_is_one_harmless_word(value: str) -> None:
    for function in TEXT_CHECKS:
        try:
            word = function(value)
        except exception.InvalidParameterValue:
            continue
        assert word == value
        assert not FORBIDDEN & set(word)
        assert not word.startswith(('-', '.'))
        assert '..' not in word.split('/')
        assert word.isprintable()


@pytest.mark.parametrize(
    ('function', 'value'),
    [
        (check.disk, 'dm-0'),
        (check.disk, 'sda1'),
        (check.disk, 'vda'),
        (check.disk, 'SDA'),
        (check.map_uuid, 'sda'),
        (check.map_uuid, 'mpath-'),
        (check.map_uuid, 'part-mpath-a'),
        (check.hctl, '0:0:0'),
        (check.hctl, '0:0:0:0:0'),
        (check.hctl, 'a:0:0:0'),
        (check.target, 't1'),
        (check.target, 'iqn.'),
        (check.target, 'iqn.a,b'),
    ],
)
def test_of_another_kind(function: Callable[[Any], str], value: str) -> None:
    with pytest.raises(exception.InvalidParameterValue) as caught:
        function(value)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(
    ('function', 'value'), [(check.map_uuid, 'part\u0663-mpath-a'), (check.hctl, '\u0663:0:0:1')]
)
def test_digits_are_ascii(function: Callable[[Any], str], value: str) -> None:
    with pytest.raises(exception.InvalidParameterValue):
        function(value)


@pytest.mark.parametrize('value', [-1, 11, '5', 5.0, True, None, 2**70])
def test_numbers(value: object) -> None:
    with pytest.raises(exception.InvalidParameterValue, match='page'):
        check.number(value, 10, 'page')


def test_good_numbers() -> None:
    assert [check.number(value, 10, 'page') for value in (0, 5, 10)] == [0, 5, 10]
    assert check.port(65535) == 65535
    with pytest.raises(exception.InvalidParameterValue):
        check.port(65536)


@pytest.mark.parametrize('value', [0, -1, 3601, '5', None, True, float('nan'), float('inf')])
def test_bad_seconds(value: object) -> None:
    with pytest.raises(exception.InvalidParameterValue):
        check.seconds(value)


@pytest.mark.parametrize('value', [1, 0.1, 3600])
def test_good_seconds(value: float) -> None:
    assert check.seconds(value) == value


@pytest.mark.parametrize(
    'value',
    [
        *('a\nb', 'a\0b', 'x' * 256, 'é' * 128, None, 7, b'x', 'a\tb', 'a\x1bb', 'a\u2028b'),
        *(' a', 'a ', 'a\r', '\ud800'),
    ],
)
def test_values_of_records_are_one_line_and_never_shown(value: object) -> None:
    with pytest.raises(exception.InvalidParameterValue) as caught:
        check.record_value(value, 'password')
    assert 'password' in str(caught.value)
    assert repr(value) not in str(caught.value)


@pytest.mark.parametrize('value', ['pa55 wörd', '#"\'\\$!&;=', '江月', 'é' * 127, 'a\u3000b'])
def test_good_values_of_records(value: str) -> None:
    assert check.record_value(value, 'password') == value


@pytest.mark.parametrize('value', [7, True])
def test_a_number_is_no_address(value: Any) -> None:
    with pytest.raises(exception.InvalidParameterValue):
        check.address(value)
