# SPDX-License-Identifier: Apache-2.0
"""Keys of NVMe over TLS, against the known answers of libnvme and HKDF by another hand."""

import base64
import hashlib
import hmac
import zlib

from hypothesis import given
from hypothesis import strategies as st
import pytest

from os_brick.model import nvme_psk

HOST, NQN = 'nqn.psk-test-host', 'nqn.psk-test-subsys'
SHORT = bytes.fromhex('5512DBB6737D0106F65975B773DFB011FFC344BCF442E2DD6D8BC4870B5D5B03')
LONG = SHORT + bytes.fromhex('FFC344BCF442E2DD6D8BC4870B5D5B03')
# libnvme, test/psk.c: configured keys with their interchange forms, and identities.
PLAIN_TEXT = 'NVMeTLSkey-1:00:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:'
SHORT_TEXT = 'NVMeTLSkey-1:01:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:'
LONG_TEXT = (
    'NVMeTLSkey-1:02:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwP/w0S89ELi3W2LxIcLXVsDn8kXZQ==:'
)


def text(value: bytes, transform: int = 1) -> str:
    check = zlib.crc32(value).to_bytes(4, 'little')
    return f'NVMeTLSkey-1:{transform:02}:{base64.b64encode(value + check).decode()}:'


@pytest.mark.parametrize(
    ('written', 'transform', 'value'),
    [(PLAIN_TEXT, 0, SHORT), (SHORT_TEXT, 1, SHORT), (LONG_TEXT, 2, LONG)],
)
def test_interchange(written: str, transform: int, value: bytes) -> None:
    assert nvme_psk.Psk.parse(written) == nvme_psk.Psk(transform, value)
    assert text(value, transform) == written


@pytest.mark.parametrize(
    ('written', 'digest'),
    [
        (SHORT_TEXT, 'NVMe1R01 {} iSbjiStwJ/1TrTvDlt2fjFmzvsytOJelidNnA+X5lEU='),
        (
            LONG_TEXT,
            'NVMe1R02 {} QhW2+Rp6RzHlNtCslyRxMnwJ11tKKhz8JCAQpQ+XUD8f9td1VeH5h53yz2wKJG1a',
        ),
    ],
)
def test_identities(written: str, digest: str) -> None:
    today, older = nvme_psk.Psk.parse(written).tls_keys(HOST, NQN)
    assert today.identity == digest.format(f'{HOST} {NQN}')
    assert older.identity == f'NVMe0R{digest[6:8]} {HOST} {NQN}'


def by_hand(secret: bytes, label: bytes, context: bytes, kind: str) -> bytes:
    """RFC 8446, section 7.1, written down a second time."""
    size = hashlib.new(kind).digest_size
    key = hmac.new(b'\0' * size, secret, kind).digest()
    info = bytes([0, size, len(label)]) + label + bytes([len(context)]) + context + b'\x01'
    return hmac.new(key, info, kind).digest()


@pytest.mark.parametrize(
    ('written', 'kind'),
    [(PLAIN_TEXT, 'sha256'), (SHORT_TEXT, 'sha256'), (LONG_TEXT, 'sha384')],
)
def test_keys(written: str, kind: str) -> None:
    """A key that is a retained one already is not transformed."""
    psk = nvme_psk.Psk.parse(written)
    today, older = psk.tls_keys(HOST, NQN)
    retained = psk.value
    if psk.transform:
        retained = by_hand(retained, b'tls13 HostNQN', HOST.encode(), kind)
    context = today.identity.rpartition(' ')[2]
    for key, inside in (
        (today, f'{today.identity[6:8]} {context}'),
        (older, older.identity),
    ):
        assert key.value == by_hand(retained, b'tls13 nvme-tls-psk', inside.encode(), kind)
        assert len(key.value) == len(psk.value)


@pytest.mark.parametrize(
    'wrong',
    [
        *(None, 7, '', 'geheim', SHORT_TEXT[:-1], SHORT_TEXT.replace('-1:', '-2:')),
        *(SHORT_TEXT.replace(':01:', ':03:'), SHORT_TEXT.replace(':01:', ':02:')),
        *(LONG_TEXT.replace('==', '='), LONG_TEXT.replace(':02:', ':01:')),
        *(SHORT_TEXT.replace('VRL', 'VRM'), text(b'short'), 'NVMeTLSkey-1:00:AAAA:'),
    ],
)
def test_what_is_no_key(wrong: object) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 any text that does not show it
        nvme_psk.Psk.parse(wrong)
    if wrong:
        assert str(wrong) not in str(caught.value)


@given(st.text())
def test_any_text_is_a_key_or_a_value_error(written: str) -> None:
    try:
        nvme_psk.Psk.parse(written)
    except ValueError:
        return
    raise AssertionError(written)


def test_no_key_shows() -> None:
    psk = nvme_psk.Psk.parse(SHORT_TEXT)
    shown = repr([psk, *psk.tls_keys(HOST, NQN)])
    assert 'VRL' not in shown
    assert repr(SHORT)[2:12] not in shown


def test_names_that_are_too_long_for_the_older_form() -> None:
    """Together they are longer than what a key of RFC 8446 can be made of."""
    (only,) = nvme_psk.Psk.parse(SHORT_TEXT).tls_keys('nqn.' + 'h' * 200, 'nqn.' + 's' * 200)
    assert only.identity.startswith('NVMe1R01 ')
