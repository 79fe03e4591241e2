# SPDX-License-Identifier: Apache-2.0
"""What :mod:`os_brick.core.http` is given and returns; imported from there."""

from __future__ import annotations

import base64
from collections.abc import Mapping
import contextlib
import dataclasses
import json
from typing import Any

from os_brick import exception

# RFC 9110, 9.2.2. What POST does may be repeatable all the same: the caller knows.
_REPEATABLE = frozenset({'GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS'})


@dataclasses.dataclass(frozen=True, slots=True)
class Tls:
    """How a server is trusted.

    :ivar verify: whether its certificate has to be signed by an authority, and of its name.
    :ivar ca_path: a file or directory of authorities; ``None`` for those of the system.
    :ivar thumbprint: the SHA-1 digest in hexadecimal that its certificate has to have, which a
        server that is trusted has told, and which counts in the place of an authority.
    """

    verify: bool = True
    ca_path: str | None = None
    thumbprint: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Server:
    """Where to ask.

    :ivar host: an IP address, without brackets, or a host name.
    :ivar tls: ``None`` for HTTP without encryption.
    """

    host: str
    port: int
    tls: Tls | None = None

    def __str__(self) -> str:
        """Return it as a URL."""
        host = f'[{self.host}]' if ':' in self.host else self.host
        return f'{"https" if self.tls else "http"}://{host}:{self.port}'

    @property
    def name(self) -> str:
        """The host as the server knows it: the zone of an address is this host's own."""
        return self.host.partition('%')[0]

    @property
    def header(self) -> str:
        """What the header ``Host`` is."""
        return f'[{self.name}]:{self.port}' if ':' in self.name else f'{self.name}:{self.port}'


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """What a server is asked.

    :ivar path: with its query, quoted as a URL wants it.
    :ivar headers: those beyond the usual ones.
    :ivar is_repeatable: whether it does no harm to ask twice; ``None`` for what its method says.
    """

    method: str
    path: str = dataclasses.field(repr=False)
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)
    body: bytes | None = dataclasses.field(default=None, repr=False)
    is_repeatable: bool | None = None

    @classmethod
    def with_json(
        cls,
        method: str,
        path: str,
        content: Any,
        headers: Mapping[str, str],
        *,
        is_repeatable: bool | None = None,
    ) -> Request:
        """A request whose body is ``content`` as JSON."""
        body = json.dumps(content).encode()
        whole = {**headers, 'Content-Type': 'application/json'}
        return cls(method, path, whole, body, is_repeatable)

    def __str__(self) -> str:
        """Return method and path; a query may be a secret."""
        return f'{self.method} {self.path.partition("?")[0]}'

    @property
    def may_be_repeated(self) -> bool:
        """Whether it does no harm to ask twice."""
        return self.method in _REPEATABLE if self.is_repeatable is None else self.is_repeatable


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What a server answers.

    :ivar headers: by their names in lower case.
    """

    server: Server
    request: Request
    status: int
    headers: Mapping[str, str] = dataclasses.field(repr=False)
    body: bytes = dataclasses.field(repr=False)

    def json(self) -> Any:
        """The body, which is JSON.

        :raises StorageServerError: if it is not.
        """
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            pass
        kind = self.headers.get('content-type', 'an unknown type')[:80]
        kind = ''.join(each if each.isprintable() else '?' for each in kind)
        why = f'status {self.status} with {len(self.body)} bytes of {kind} instead of JSON'
        # Raised here, because the decoder's error has the whole text in it.
        raise exception.StorageServerError(
            server=str(self.server), request=str(self.request), why=why
        )


def basic(user: str, password: str) -> dict[str, str]:
    """The header of basic authentication, in the encoding that ``requests`` has for it.

    So what works in a storage driver works here. RFC 7617 leaves the encoding to the server.

    :raises InvalidParameterValue: if UTF-8 does not have what is in them.
    """
    pair = f'{user}:{password}'
    for encoding in ('latin-1', 'utf-8'):
        with contextlib.suppress(UnicodeEncodeError):
            return {'Authorization': f'Basic {base64.b64encode(pair.encode(encoding)).decode()}'}
    # Raised here, because the encoder's error has the whole text in it.
    raise exception.InvalidParameterValue(
        err='the user name or the password has characters in it that UTF-8 does not have'
    )
