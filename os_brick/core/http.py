# SPDX-License-Identifier: Apache-2.0
"""The one place that speaks HTTP: a request, its answer, and nothing kept open between.

::

    client = http.Client(http.Server('gateway.lab', 443, http.Tls()))
    answer = client.ask(http.Request('GET', '/api/version'), op.work)
    version = answer.json()

* The deadline is of the whole: names, connection, handshake and the last byte of the answer.
* Certificates are verified, unless the caller says otherwise.
* No proxy is used, whatever ``https_proxy`` says: a management network has none.
* No redirect is followed: credentials would go where no one has configured them to.
* An answer is as large as the caller allows, and is not decompressed.
* Headers and bodies appear in no log, error or ``repr``: they hold passwords and tokens.

It stands on ``http.client``, which oslo.log imports anyway. ``requests`` and ``urllib3`` resolve
names by themselves, without a time limit, have one for each wait instead of the whole, and log
the headers that they cannot parse.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import client
import re
import ssl
from typing import Final
import urllib.parse

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import channel, clock, http_body, net, wait
from os_brick.core.http_values import Answer, Request, Server, Tls, basic

__all__ = ['Answer', 'Client', 'Request', 'Server', 'Tls', 'basic']

LOG = logging.getLogger(__name__)

# How long one request may take, connection included: gateways of arrays answer within seconds.
REQUEST_SECONDS = 60.0
# The longest answer: a list of some thousand volumes.
MOST_BYTES = 4 << 20
_HEADER_BYTES = 128 << 10
# The pauses before a request is tried once more: a server that restarts is back in seconds.
PAUSES_SECONDS = (0.25, 0.5, 1.0, 2.0, 4.0)

_OK = 200
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Nothing was done, and another try may go better (RFC 9110; 429 is of RFC 6585).
_BUSY = frozenset({429, 502, 503, 504})
# RFC 9112, 3.2: one word; http.client sends ASCII.
_PATH = re.compile(r'/[\x21-\x7e]*')
# RFC 1035, 2.3.4.
_LONGEST_NAME = 253
# RFC 9110, 5.5: what a header's value may have in it.
_HEADER_VALUE = re.compile(r'[\t\x20-\x7e\x80-\xff]*')


class Client:
    """Asks one server. It keeps no connection, so threads may share it."""

    def __init__(self, server: Server) -> None:
        """Read the certificates by which the server is trusted.

        :raises InvalidParameterValue: if that file or directory cannot be used.
        """
        self.server: Final = server
        self._context: ssl.SSLContext | None = None
        if server.tls is not None:
            try:
                verify = server.tls.verify and not server.tls.thumbprint
                self._context = channel.tls_context(verify=verify, ca_path=server.tls.ca_path)
            except (OSError, ValueError) as error:
                why = getattr(error, 'strerror', None) or 'they are not certificates in PEM format'
                raise exception.InvalidParameterValue(
                    err=f'the certificates of {server.tls.ca_path} cannot be used: {why}'
                ) from None

    def ask(
        self,
        request: Request,
        deadline: wait.Deadline,
        seconds: float = REQUEST_SECONDS,
        most_bytes: int = MOST_BYTES,
    ) -> Answer:
        """What the server answers, whatever its status but a redirect.

        A server that cannot be reached is tried again a few times; so is one that breaks off or is
        busy, if the request may be repeated.

        :param seconds: how long one try may take.
        :param most_bytes: how large the answer may be.
        :raises InvalidParameterValue: if the request cannot be sent as it is.
        :raises StorageServerUnreachable: if no connection comes about; nothing was sent.
        :raises StorageServerError: if it breaks off, redirects, or answers too much.
        :raises OperationTimedOut: if the answer is not there in time.
        """
        headers = self._headers(request)
        for pause in PAUSES_SECONDS:
            may_try_again = deadline.remaining > pause
            try:
                answer = self._once(request, headers, deadline.within(seconds), most_bytes)
            except exception.StorageServerError as error:
                if not may_try_again or _is_final(error, request):
                    raise
                LOG.info('%s Trying again in %s s', error, pause)
            else:
                is_busy = answer.status in _BUSY and request.may_be_repeated
                if not is_busy or not may_try_again:
                    return _here(answer)
                LOG.info('%s is busy (%s): trying again', self.server, answer.status)
            clock.sleep(pause)
        return _here(self._once(request, headers, deadline.within(seconds), most_bytes))

    def stream(
        self,
        request: Request,
        deadline: wait.Deadline,
        *,
        source: Iterable[bytes] = (),
        sink: Callable[[bytes], object] | None = None,
        most_bytes: int = MOST_BYTES,
    ) -> Answer:
        """What the server answers to a request that is not repeated, and too large to be held.

        :param source: the parts of its body; how long it is the caller says in its headers.
            Errors of source and sink are raised as they are.
        :param sink: takes the parts of the body of the answer, if its status is 200; any other
            body is limited to ``MOST_BYTES``.
        :raises StorageServerError: and its kinds, as of :meth:`ask`.
        :raises OperationTimedOut: if the answer is not there in time.
        """
        headers = self._headers(request)
        bodies = http_body.Bodies(source, sink)
        return _here(self._once(request, headers, deadline, most_bytes, bodies))

    def _once(
        self,
        request: Request,
        headers: dict[str, str],
        limit: wait.Deadline,
        most_bytes: int,
        bodies: http_body.Bodies | None = None,
    ) -> Answer:
        begun = clock.monotonic()
        bodies = bodies or http_body.Bodies()
        try:
            opened = self._open(request, limit, most_bytes + _HEADER_BYTES)
            try:
                response = self._send(opened, request, headers, bodies)
                answer = self._answer(request, response, most_bytes, bodies)
            finally:
                opened.end()
        except (OSError, ValueError, client.HTTPException) as error:
            if error is bodies.error:
                raise
            # Not chained: the texts of these hold what was sent or received.
            raise self._broken_off(error, request, limit) from None
        spent = clock.monotonic() - begun
        LOG.debug('%s %s: %s after %.3f s', self.server, request, answer.status, spent)
        return answer

    def _open(self, request: Request, limit: wait.Deadline, most_bytes: int) -> channel.Channel:
        server = self.server
        try:
            opened = channel.Channel(net.dial(server.host, server.port, limit), limit, most_bytes)
        except OSError as error:
            why = error.strerror or str(error) or type(error).__name__
            raise self._failure(exception.StorageServerUnreachable, request, why) from None
        try:
            if self._context is not None:
                opened.start_tls(self._context, server.name)
                if server.tls is not None and server.tls.thumbprint:
                    opened.require_thumbprint(server.tls.thumbprint)
        except BaseException as error:
            opened.end()
            if not isinstance(error, OSError) or isinstance(error, TimeoutError):
                raise
            raise self._failure(*_no_tls(error, request)) from None
        return opened

    def _broken_off(self, error: Exception, request: Request, limit: wait.Deadline) -> Exception:
        if isinstance(error, TimeoutError):
            what = f'the answer of {self.server} to {request}'
            return exception.OperationTimedOut(what=what, seconds=round(limit.seconds, 1))
        return self._failure(exception.StorageServerError, request, _reason(error))

    def _failure(
        self, kind: type[exception.StorageServerError], request: Request, why: str
    ) -> exception.StorageServerError:
        return kind(server=str(self.server), request=str(request), why=why)

    def _send(
        self,
        opened: channel.Channel,
        request: Request,
        headers: dict[str, str],
        bodies: http_body.Bodies,
    ) -> client.HTTPResponse:
        connection = client.HTTPConnection(self.server.name, self.server.port)
        connection.sock = opened
        connection.putrequest(
            request.method, request.path, skip_host=True, skip_accept_encoding=True
        )
        for name, value in headers.items():
            connection.putheader(name, value.encode('latin-1'))
        connection.endheaders(request.body)
        for part in bodies.parts():
            opened.sendall(part)
        return connection.getresponse()

    def _answer(
        self,
        request: Request,
        response: client.HTTPResponse,
        most_bytes: int,
        bodies: http_body.Bodies,
    ) -> Answer:
        found = http_body.headers(response)
        if found.get('content-encoding', 'identity') != 'identity':
            raise channel.TooMuch('its answer is compressed, which was not asked for')
        http_body.require_framing(response, found)
        parts: list[bytes] = []
        if bodies.sink is None:
            http_body.read(response, most_bytes, parts.append)
        elif response.status == _OK:
            http_body.read(response, most_bytes, bodies.take)
        else:
            http_body.read(response, min(most_bytes, MOST_BYTES), parts.append)
        return Answer(self.server, request, response.status, found, b''.join(parts))

    def _headers(self, request: Request) -> dict[str, str]:
        headers = {
            'Host': self.server.header,
            'Accept-Encoding': 'identity',
            'Connection': 'close',
            **request.headers,
        }
        if request.body is not None or request.method not in {'GET', 'HEAD'}:
            headers.setdefault('Content-Length', str(len(request.body or b'')))
        for name, value in headers.items():
            if not _HEADER_VALUE.fullmatch(value):
                raise exception.InvalidParameterValue(
                    err=f'what is sent to {self.server} as {name} has characters in it that no '
                    'header can have'
                )
        if not _PATH.fullmatch(request.path):
            raise exception.InvalidParameterValue(
                err=f'a path that {self.server} is asked for is not quoted as a URL wants it'
            )
        return headers


def _no_tls(
    error: OSError, request: Request
) -> tuple[type[exception.StorageServerError], Request, str]:
    if isinstance(error, ssl.SSLCertVerificationError):
        return exception.StorageServerNotTrusted, request, error.verify_message
    if isinstance(error, channel.OtherCertificate):
        return exception.StorageServerNotTrusted, request, str(error)
    return exception.StorageServerUnreachable, request, _reason(error)


def _is_final(error: exception.StorageServerError, request: Request) -> bool:
    """Whether another try would do harm, or end as this one has."""
    if isinstance(error, exception.StorageServerNotTrusted):
        return True
    if isinstance(error.__context__, channel.TooMuch):
        return True
    was_sent = not isinstance(error, exception.StorageServerUnreachable)
    return was_sent and not request.may_be_repeated


def _reason(error: Exception) -> str:
    """What went wrong, in words that hold nothing of what was sent or received."""
    if isinstance(error, channel.TooMuch):
        return str(error) or 'its answer is too large'
    if isinstance(error, (client.RemoteDisconnected, ssl.SSLEOFError)):
        return 'it closed the connection without an answer'
    if isinstance(error, client.IncompleteRead):
        return 'its answer is not complete'
    if isinstance(error, (client.HTTPException, ValueError)):
        return f'what it sends is not valid HTTP ({type(error).__name__})'
    if isinstance(error, ssl.SSLError):
        return f'TLS failed ({error.reason or "unknown reason"})'
    return getattr(error, 'strerror', None) or type(error).__name__


def _here(answer: Answer) -> Answer:
    """The answer, which is none of another server.

    :raises StorageServerError: if it is a redirect.
    """
    if answer.status not in _REDIRECTS:
        return answer
    try:
        found = urllib.parse.urlsplit(answer.headers.get('location', ''))
        host = (found.hostname or '')[:_LONGEST_NAME]
        port = f':{found.port}' if found.port else ''
        place = f'{found.scheme}://{host}{port}' if host else 'itself'
    except ValueError:
        place = 'an address that is not valid'
    raise exception.StorageServerError(
        server=str(answer.server),
        request=str(answer.request),
        why=f'it redirects to {place}, which is not followed: give the storage driver the address '
        'that answers by itself',
    )
