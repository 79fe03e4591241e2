# SPDX-License-Identifier: Apache-2.0
"""The SOAP client of oslo.vmware over our own HTTP.

Only what makes calls out of arguments, and answers out of XML, is oslo.vmware's. Its sessions have
no time limit where a server is away (they log in again for ever, and fetch the description of the
API without one), and its transfers look at no status. So requests go through ``core.http``: within
the operation's deadline, to this server alone, with answers of limited size.
"""

from __future__ import annotations

import importlib
import io
import re
from types import ModuleType
from typing import Any

from os_brick import exception
from os_brick.core import clock, http, wait

# The description of the whole API has 3 MB; lists that are asked for here are short.
_MOST_BYTES = 16 << 20
OK, _FAULT = 200, 500
# To parse the description takes seconds; it changes when the server is updated.
_PARSED_SECONDS = 3600.0
_COOKIE = re.compile(r'vmware_soap_session="?([\w.+/=-]{1,512})"?')


def library(name: str) -> ModuleType:
    """A module of the libraries that VMware needs.

    :raises HostNotReady: naming the extra, if they are not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise exception.HostNotReady(
            missing=f'oslo.vmware ({error}), which VMDK volumes need,',
            remedy="Install it with: pip install 'os-brick[vmware]'.",
        ) from error


class Wire:
    """What carries the requests of suds, and the cookie of the session.

    :ivar deadline: by when an answer has to be there.
    :ivar failure: the error that the last request has ended in: suds and oslo.vmware wrap it.
    """

    def __init__(self, server: http.Server, deadline: wait.Deadline) -> None:
        self.server = server
        self.client = http.Client(server)
        self.deadline = deadline
        self.cookie = ''
        self.is_repeatable = False
        self.failure: Exception | None = None

    def ask(self, request: http.Request) -> http.Answer:
        """What the server answers; the cookie that it sets is kept."""
        self.failure = None
        try:
            answer = self.client.ask(request, self.deadline, most_bytes=_MOST_BYTES)
        except exception.BrickException as error:
            self.failure = error
            raise
        found = _COOKIE.search(answer.headers.get('set-cookie', ''))
        self.cookie = found[1] if found else self.cookie
        return answer

    def get(self, url: str) -> bytes:
        """A document of this server.

        :raises StorageServerError: if it does not answer with one.
        """
        path = self._path(url)
        answer = self.ask(http.Request('GET', path))
        if answer.status != OK:
            raise self.refused(answer)
        return answer.body

    def post(self, url: str, body: bytes, headers: dict[str, Any]) -> http.Answer:
        """Send a call; a fault is an answer, too.

        :raises StorageServerError: if the answer is neither.
        """
        words = {
            str(key): value.decode('latin-1') if isinstance(value, bytes) else str(value)
            for key, value in headers.items()
        }
        cookie = {'Cookie': f'vmware_soap_session="{self.cookie}"'} if self.cookie else {}
        request = http.Request(
            'POST', self._path(url), {**words, **cookie}, body, self.is_repeatable
        )
        answer = self.ask(request)
        if answer.status not in (OK, _FAULT) or not answer.body.lstrip().startswith(b'<'):
            raise self.refused(answer)
        return answer

    def refused(self, answer: http.Answer) -> Exception:
        """The error for an answer that is none; its body may be anything."""
        why = f'it answers with status {answer.status}, and not as vSphere does'
        self.failure = exception.StorageServerError(
            server=str(self.server), request=str(answer.request), why=why
        )
        return self.failure

    def _path(self, url: str) -> str:
        """The path of a URL, which has to be this server's.

        The description of the API names the documents that belong to it.
        """
        prefix = str(self.server)
        if not url.startswith(f'{prefix}/'):
            self.failure = exception.StorageServerError(
                server=prefix, request='GET', why='it refers to documents of another server'
            )
            raise self.failure
        return url.removeprefix(prefix)


# What suds has parsed of the descriptions of APIs, and when.
_parsed: dict[str, tuple[float, Any]] = {}


def connected(wire: Wire) -> Any:
    """oslo.vmware's client of the API, over our wire."""
    vim, service = library('oslo_vmware.vim'), library('oslo_vmware.service')

    class Vim(vim.Vim):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            # Not the constructor of Service: that one fetches the description by itself.
            self.soap_url = f'{wire.server}/sdk'
            self.wsdl_url = f'{self.soap_url}/vimService.wsdl'
            self.op_id_prefix = 'os-brick'
            self._service_content = None
            self._vc_session_cookie = None
            self.client = service.CompatibilitySudsClient(
                self.wsdl_url,
                transport=_transport(wire),
                location=self.soap_url,
                plugins=[service.ServiceMessagePlugin()],
                cache=_cache(),
            )

    return Vim()


def _transport(wire: Wire) -> Any:
    """What suds takes for a transport."""
    transport = library('suds.transport')

    class Transport(transport.Transport):  # type: ignore[misc, name-defined]
        cookiejar: tuple[()] = ()

        def open(self, request: Any) -> io.BytesIO:
            return io.BytesIO(wire.get(request.url))

        def send(self, request: Any) -> Any:
            answer = wire.post(request.url, request.message, request.headers)
            if answer.status != OK:
                raise transport.TransportError('fault', answer.status, io.BytesIO(answer.body))
            return transport.Reply(answer.status, dict(answer.headers), answer.body)

    return Transport()


def _cache() -> Any:
    """What suds takes for a cache, which this process has one of."""
    cache = library('suds.cache')

    class Cache(cache.Cache):  # type: ignore[misc, name-defined]
        def get(self, key: str) -> Any:
            moment, found = _parsed.get(key, (0.0, None))
            return found if clock.monotonic() - moment < _PARSED_SECONDS else None

        def put(self, key: str, value: Any) -> Any:
            _parsed[key] = (clock.monotonic(), value)
            return value

    return Cache()
