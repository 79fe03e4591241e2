# SPDX-License-Identifier: Apache-2.0
"""Portals and names of namespaces in one spelling."""

import contextlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
import pytest

from os_brick.model import fabrics

UUID = '12345678-90ab-cdef-1234-567890abcdef'
FC = 'nn-0x1000000000000001:pn-0x2000000000000001'


@pytest.mark.parametrize(
    ('words', 'portal'),
    [
        (('10.0.0.1', 4420, 'tcp'), ('tcp', '10.0.0.1', '4420')),
        (('10.0.0.1', '4420', 'TCP'), ('tcp', '10.0.0.1', '4420')),
        (('10.0.0.1', '08009', 'NVMe/TCP'), ('tcp', '10.0.0.1', '8009')),
        (('10.0.0.1', None, 'RoCEv2'), ('rdma', '10.0.0.1', '4420')),
        (('FE80:0::1', 4420, 'rdma'), ('rdma', 'fe80::1', '4420')),
        (('[2001:DB8::0:1]', 4420, 'tcp'), ('tcp', '2001:db8::1', '4420')),
        (('::ffff:10.0.0.1', 4420, 'tcp'), ('tcp', '10.0.0.1', '4420')),
        (('Array.Example', 4420, 'tcp'), ('tcp', 'array.example', '4420')),
        ((FC.upper().replace('0X', '0x'), 'none', 'FC'), ('fc', FC, '')),
        ((FC.replace('0x', ''), '', 'fc'), ('fc', FC, '')),
    ],
)
def test_portal(words: tuple[Any, ...], portal: tuple[str, ...]) -> None:
    assert fabrics.NvmePortal.parse(*words) == fabrics.NvmePortal(*portal)


@pytest.mark.parametrize(
    'words',
    [
        ('10.0.0.1', 4420, 'carrier pigeon'),
        ('10.0.0.1', 0, 'tcp'),
        ('10.0.0.1', 65536, 'tcp'),
        ('10.0.0.1', '44 20', 'tcp'),
        ('10.0.0.1,host_traddr=10.0.0.2', 4420, 'tcp'),
        ('a..b', 4420, 'tcp'),
        ('', 4420, 'tcp'),
        (None, 4420, 'tcp'),
        ('fe80::zz', 4420, 'tcp'),
        ('10.0.0.1', 4420, 'fc'),
        ('10.0.0.1\n', 4420, None),
        ('10.0.0.1', 4420, 'tcp', '', 'eth0,hostnqn=x'),
    ],
)
def test_no_portal(words: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match=r'is not a|expected a text'):
        fabrics.NvmePortal.parse(*words)


@given(st.text(max_size=40), st.text(max_size=8), st.sampled_from(['tcp', 'rdma', 'fc', 'loop']))
def test_no_text_becomes_another_option(address: str, port: str, transport: str) -> None:
    """What comes out is one option of the kernel, which a comma would end."""
    with contextlib.suppress(ValueError):
        portal = fabrics.NvmePortal.parse(address, port, transport)
        assert portal.address.isprintable()
        assert not set(portal.address + portal.port) & set(', =\n')
        assert fabrics.NvmePortal.parse(portal.address, portal.port, transport) == portal


def test_a_portal_may_leave_open_where_it_begins() -> None:
    plain = fabrics.NvmePortal('tcp', '10.0.0.1', '4420')
    bound = fabrics.NvmePortal('tcp', '10.0.0.1', '4420', '10.0.0.9', 'eth0')
    assert plain.serves(bound)
    assert bound.serves(bound)
    assert not bound.serves(plain)
    assert not plain.serves(fabrics.NvmePortal('rdma', '10.0.0.1', '4420'))


A, B = UUID, UUID.replace('1', '2')


@pytest.mark.parametrize(
    ('wanted', 'actual', 'is_it'),
    [
        ({'uuid': A}, {'uuid': A, 'nguid': B}, True),
        ({'uuid': A}, {'uuid': B, 'nguid': A}, False),
        ({'uuid': A, 'nguid': B}, {'uuid': A, 'nguid': A}, False),
        # A UUID that the subsystem does not support hides no other name.
        ({'uuid': A, 'nguid': B}, {'nguid': B, 'nsid': 1}, True),
        ({'uuid': A}, {'nguid': A}, False),
        # An NGUID that was used again does not match where the UUID says otherwise.
        ({'uuid': A, 'nguid': B}, {'uuid': B, 'nguid': B}, False),
        ({'nguid': A, 'nsid': 1}, {'nguid': A, 'nsid': 2}, True),
        ({'nguid': A, 'nsid': 1}, {'nguid': B, 'nsid': 1}, False),
        ({'eui64': '0' * 15 + '1'}, {'eui64': '0' * 15 + '1'}, True),
        ({'eui64': '0' * 15 + '1', 'nsid': 1}, {'nguid': A, 'nsid': 1}, False),
        ({'nsid': 1}, {'uuid': A, 'nsid': 1}, True),
        ({'nsid': 1}, {'uuid': A, 'nsid': 2}, False),
        ({}, {'uuid': A, 'nsid': 2}, True),
    ],
)
def test_identity(wanted: dict[str, Any], actual: dict[str, Any], is_it: bool) -> None:
    assert fabrics.NamespaceIdentity(**wanted).matches(fabrics.NamespaceIdentity(**actual)) is is_it


def test_names() -> None:
    assert fabrics.uuid(UUID.upper().replace('-', '')) == UUID
    assert fabrics.uuid('0' * 32) is None
    assert fabrics.eui64('00:02:C9:03:00:01:02:03') == '0002c90300010203'
    assert fabrics.eui64('0' * 16) is None
    for bad in ('', 'x', UUID[:-1], None, 7):
        with pytest.raises(ValueError, match=r'is not a|expected'):
            fabrics.uuid(bad)
    for bad in ('nqn.2026-11.org.lab:a,b', 'a\nb', 'a\0', 'x' * 223, '', ' ', None):
        with pytest.raises(ValueError, match=r'is not a|expected'):
            fabrics.nqn(bad)


def test_host_id_follows_from_the_name() -> None:
    name = f'nqn.2014-08.org.nvmexpress:uuid:{UUID.upper()}'
    assert fabrics.host_id_of(name) == UUID
    other = fabrics.host_id_of('nqn.2026-11.org.lab:host')
    assert fabrics.uuid(other) == other
    assert fabrics.host_id_of('nqn.2026-11.org.lab:host') == other


@pytest.mark.parametrize(
    ('names', 'word'),
    [
        ({'uuid': UUID, 'nguid': UUID, 'eui64': '1' * 16, 'nsid': 1}, f'uuid.{UUID}'),
        ({'nguid': UUID, 'eui64': '1' * 16}, f'nguid.{UUID}'),
        ({'eui64': '1' * 16}, f'eui.{"1" * 16}'),
        ({'nsid': 1}, ''),  # Which may be another namespace's tomorrow.
        ({}, ''),
    ],
)
def test_the_name_of_a_namespace_in_a_word(names: dict[str, Any], word: str) -> None:
    assert fabrics.NamespaceIdentity(**names).name == word
