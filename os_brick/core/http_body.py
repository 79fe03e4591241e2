# SPDX-License-Identifier: Apache-2.0
"""Bodies of HTTP requests and answers: where they begin and end, and whose an error is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from http import client
import re

from os_brick.core import channel

_PIECE_BYTES = 1 << 16
_FOLD = re.compile(r'[ \t]*[\r\n]+[ \t]*')
_LENGTH = re.compile(r'[0-9]{1,18}')


class Bodies:
    """Where a caller has the body of a request from, and where it puts that of the answer.

    :ivar sink: takes the parts of the answer's body; ``None`` if the caller gave none.
    :ivar error: what the caller's source or sink has raised, which is not the server's fault.
    """

    def __init__(
        self, source: Iterable[bytes] = (), sink: Callable[[bytes], object] | None = None
    ) -> None:
        self._source = source
        self.sink = sink
        self.error: Exception | None = None

    def parts(self) -> Iterator[bytes]:
        """The parts of the request's body."""
        try:
            yield from self._source
        except Exception as error:
            self.error = error
            raise

    def take(self, part: bytes) -> None:
        """Give a part of the answer's body to the sink."""
        try:
            if self.sink is not None:
                self.sink(part)
        except Exception as error:
            self.error = error
            raise


def headers(response: client.HTTPResponse) -> dict[str, str]:
    """The headers of an answer, by their names in lower case; each value is one line."""
    found: dict[str, str] = {}
    for name, value in response.getheaders():
        # RFC 9112, 5.2: a line break in a value counts as a blank.
        line = _FOLD.sub(' ', value).strip(' \t')
        # RFC 9110, 5.3: several of one name are one list.
        found[name.lower()] = ', '.join(filter(None, [found.get(name.lower()), line]))
    return found


def require_framing(response: client.HTTPResponse, found: Mapping[str, str]) -> None:
    """Have the end of the body be known, as RFC 9112, 6.1 and 6.3, want it.

    ``http.client`` (Python 3.11) reads to the end of the connection where it does not understand
    the coding or the length, and takes the first one of several lengths: what is cut or still
    encoded would count as complete.

    :raises http.client.UnknownTransferEncoding: if it is not.
    """
    coding, length = found.get('transfer-encoding'), found.get('content-length')
    if coding is not None:
        is_known = response.chunked and coding.lower() == 'chunked'
    else:
        is_known = length is None or _LENGTH.fullmatch(length) is not None
    if not is_known:
        raise client.UnknownTransferEncoding


def read(response: client.HTTPResponse, most_bytes: int, take: Callable[[bytes], object]) -> None:
    """Read the body in pieces: a length that is claimed is not reserved.

    :raises TooMuch: if it claims to be larger.
    :raises http.client.IncompleteRead: if it is shorter than it claims.
    """
    if (response.length or 0) > most_bytes:
        raise channel.TooMuch
    left = most_bytes
    while part := response.read(_PIECE_BYTES):
        left -= len(part)
        if left < 0:
            raise channel.TooMuch
        take(part)
    if response.length:
        raise client.IncompleteRead(b'', response.length)
