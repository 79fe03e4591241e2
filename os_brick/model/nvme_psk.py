# SPDX-License-Identifier: Apache-2.0
"""Keys of NVMe over TLS: what an operator is given, and what the handshake wants.

NVM Express TCP Transport Specification 1.1, section 3.6.1: a *configured* key in its interchange
form becomes the *retained* key of this host, and that the *TLS* key of this host and a subsystem.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
import hmac
import re
import zlib

_INTERCHANGE = re.compile(r'NVMeTLSkey-1:(0[0-2]):([A-Za-z0-9+/]+={0,2}):')
_CHECK_BYTES = 4
# The hash functions by their number in keys and identities, with the length of their keys.
_HASHES = {1: ('sha256', 32), 2: ('sha384', 48)}
# RFC 8446: its length is one byte. Two long NQNs have no key in the older form.
_LONGEST_CONTEXT = 255


@dataclasses.dataclass(frozen=True, slots=True)
class TlsKey:
    """What a TLS handshake wants.

    :ivar identity: what the client names the key by, in clear text.
    """

    identity: str
    value: bytes = dataclasses.field(repr=False)


@dataclasses.dataclass(frozen=True, slots=True)
class Psk:
    """A configured key.

    :ivar transform: the hash that makes the retained key of it, or 0 if it is one.
    """

    transform: int
    value: bytes = dataclasses.field(repr=False)

    @classmethod
    def parse(cls, text: object) -> Psk:
        """Read the interchange form; no error shows the text.

        :raises ValueError: if it is none, or its check sum is wrong.
        """
        match = _INTERCHANGE.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise ValueError('it is not of the form NVMeTLSkey-1:<hash>:<base 64>:')
        try:
            found = base64.b64decode(match[2], validate=True)
        except binascii.Error:
            raise ValueError('its base 64 is broken') from None
        value, check = found[:-_CHECK_BYTES], found[-_CHECK_BYTES:]
        if zlib.crc32(value) != int.from_bytes(check, 'little'):
            raise ValueError('its check sum is wrong')
        transform = int(match[1])
        lengths = [length for _, length in _HASHES.values()]
        if len(value) not in ([_HASHES[transform][1]] if transform else lengths):
            raise ValueError(f'{len(value)} bytes is not a valid length')
        return cls(transform, value)

    def tls_keys(self, host: str, nqn: str) -> tuple[TlsKey, ...]:
        """The keys for a host and a subsystem by their NQNs: today's form, then the older one."""
        number = self.transform or next(n for n, (_, b) in _HASHES.items() if b == len(self.value))
        kind, length = _HASHES[number]
        retained = self.value
        if self.transform:
            retained = _expand(_extract(retained, kind), 'HostNQN', host, length, kind)
        text = f'{host} {nqn} NVMe-over-Fabrics'
        digest = base64.b64encode(hmac.digest(retained, text.encode(), kind)).decode()
        old = f'NVMe0R{number:02} {host} {nqn}'
        # The identity, and what goes into the key besides the retained one.
        forms = ((f'NVMe1R{number:02} {host} {nqn} {digest}', f'{number:02} {digest}'), (old, old))
        return tuple(
            TlsKey(
                identity, _expand(_extract(retained, kind), 'nvme-tls-psk', context, length, kind)
            )
            for identity, context in forms
            if len(context) <= _LONGEST_CONTEXT
        )


def _extract(key: bytes, kind: str) -> bytes:
    """HKDF-Extract of RFC 5869 without salt."""
    return hmac.digest(bytes(hashlib.new(kind).digest_size), key, kind)


def _expand(key: bytes, label: str, context: str, length: int, kind: str) -> bytes:
    """HKDF-Expand-Label of RFC 8446, section 7.1, of at most one block."""
    words = (f'tls13 {label}'.encode(), context.encode())
    info = b''.join(bytes([len(word)]) + word for word in words)
    return hmac.digest(key, length.to_bytes(2, 'big') + info + b'\x01', kind)[:length]
