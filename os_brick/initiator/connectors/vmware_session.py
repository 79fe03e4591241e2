# SPDX-License-Identifier: Apache-2.0
"""A session at a vCenter or an ESXi server.

The login does not go through suds, which logs what it sends, the password as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from xml.sax import saxutils

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import clock, http, undo, wait
from os_brick.initiator.connectors import vmware_wire
from os_brick.request import vmware as request_vmware

LOG = logging.getLogger(__name__)
T = TypeVar('T')

_NOT_AUTHENTICATED = 'NotAuthenticated'
# Of a transfer: OK, Created, No Content.
_DONE = (200, 201, 204)
_LOGIN = """<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>
<Login xmlns="urn:vim25"><_this type="SessionManager">{manager}</_this>
<userName>{user}</userName><password>{password}</password><locale>en</locale></Login>
</soapenv:Body></soapenv:Envelope>"""


def require() -> None:
    """Have the libraries that VMware needs.

    :raises HostNotReady: naming the extra, if they are not installed.
    """
    vmware_wire.library('oslo_vmware.vim')


class Session:
    """A session; a context that logs in and out.

    :ivar deadline: by when each call has to end.
    """

    def __init__(
        self, access: request_vmware.Access, deadline: wait.Deadline, clean_up_seconds: float
    ) -> None:
        """Prepare for a login.

        :param clean_up_seconds: what taking back and logging out may take together.
        """
        tls = http.Tls(access.verify, access.ca_file)
        self._access = access
        self._clean_up_seconds = clean_up_seconds
        self._clean_up: wait.Deadline | None = None
        self._wire = vmware_wire.Wire(http.Server(access.host, access.port, tls), deadline)
        self._vim: Any = None
        self._errors = vmware_wire.library('oslo_vmware.exceptions')
        self._util = vmware_wire.library('oslo_vmware.vim_util')

    @property
    def deadline(self) -> wait.Deadline:
        """By when each call has to end."""
        return self._wire.deadline

    def begin_clean_up(self) -> None:
        """Have what follows end in the time for taking back, all of it together."""
        if self._clean_up is None:
            self._clean_up = wait.Deadline.after(self._clean_up_seconds)
        self._wire.deadline = self._clean_up

    @property
    def server(self) -> http.Server:
        """The server."""
        return self._wire.server

    @property
    def cookie(self) -> str:
        """The header that shows this session to the server, and to no other one."""
        return f'vmware_soap_session="{self._wire.cookie}"'

    def manager(self, name: str) -> Any:
        """One of the managers of the server (ServiceContent).

        :raises StorageServerError: if the server has none of that name.
        """

        def ask() -> Any:
            found = getattr(self._vim.service_content, name)
            if not found.value:
                raise ValueError(name)
            return found

        return self._guarded(f'RetrieveServiceContent ({name})', ask)

    def __enter__(self) -> Session:
        self._wire.is_repeatable = True
        self._vim = self._guarded('description of the API', vmware_wire.connected, self._wire)
        self.manager('sessionManager')
        try:
            self._log_in()
        except BaseException:
            if self._wire.cookie:
                self._log_out()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._log_out()

    def _log_out(self) -> None:
        self.begin_clean_up()
        try:
            self._call('Logout', self.manager('sessionManager'), {}, is_repeatable=False)
        except Exception as failed:  # noqa: BLE001 it ends by itself; what was done stays done
            LOG.warning('The session at %s does not end at once: %s', self.server, failed)

    def _log_in(self) -> None:
        escaped = {
            'manager': saxutils.escape(str(self.manager('sessionManager').value)),
            'user': saxutils.escape(self._access.user),
            'password': saxutils.escape(self._access.password),
        }
        headers = {'Content-Type': 'text/xml; charset=utf-8', 'SOAPAction': '"urn:vim25/6.0"'}
        self._wire.is_repeatable = False
        body = _LOGIN.format(**escaped).encode()
        answer = self._wire.post(f'{self.server}/sdk', body, headers)
        if answer.status == vmware_wire.OK:
            return
        if b'InvalidLogin' in answer.body:
            raise exception.BrickException(
                f'{self.server} rejects the user name or the password (vmware_host_username, '
                'vmware_host_password)'
            )
        raise self._wire.refused(answer)

    def factory(self, kind: str, **fields: Any) -> Any:
        """A value of one of the API's types."""
        made = self._vim.client.factory.create(f'ns0:{kind}')
        for name, value in fields.items():
            setattr(made, name, value)
        return made

    def reference(self, kind: str, value: str) -> Any:
        """What names a managed object."""
        return self._util.get_moref(value, kind)

    def read(self, reference: Any, name: str) -> Any:
        """A property of a managed object; ``None`` if it is not set."""

        def ask() -> Any:
            return self._util.get_object_property(self._vim, reference, name)

        self._wire.is_repeatable = True
        return self._renewed(f'property {name}', ask)

    def call(self, method: str, reference: Any, **arguments: Any) -> Any:
        """Call a method, once: whether it was done is not known where the answer is lost.

        :raises Fault: if the server reports one.
        """
        return self._call(method, reference, arguments, is_repeatable=False)

    def _call(
        self, method: str, reference: Any, arguments: dict[str, Any], *, is_repeatable: bool
    ) -> Any:
        self._wire.is_repeatable = is_repeatable
        return self._renewed(method, lambda: getattr(self._vim, method)(reference, **arguments))

    def run(self, method: str, reference: Any, **arguments: Any) -> Any:
        """Call a method that starts a task, and wait for its end; return its result.

        A task that does not end in time is cancelled.

        :raises Fault: if it was not begun, or has failed: nothing else says that it was not done.
        :raises StorageServerError: if its end cannot be learned, such as after a restart of the
            server, which forgets its tasks.
        :raises OperationTimedOut: if it does not end in time.
        """
        task = self.call(method, reference, **arguments)
        try:
            info = self.wait(lambda: self._ended(task), f'task {method} at {self.server}')
        except Fault as error:
            self._cancel(task)
            why = f'whether it was done is not known: {error}'
            raise exception.StorageServerError(
                server=str(self.server), request=f'task {method}', why=why
            ) from error
        except BaseException:
            self._cancel(task)
            raise
        if str(info.state) == 'error':
            raise _fault_of(self.server, method, info.error)
        return getattr(info, 'result', None)

    def _ended(self, task: Any) -> Any:
        info = self.read(task, 'info')
        return info if str(getattr(info, 'state', '')) in ('success', 'error') else None

    def _cancel(self, task: Any) -> None:
        self.begin_clean_up()
        try:
            self.call('CancelTask', task)
        except exception.BrickException as error:
            LOG.warning('A task at %s cannot be cancelled: %s', self.server, error)

    def wait(self, probe: Callable[[], T | None], what: str) -> T:
        """The first answer of a probe that is not ``None``; the server is not asked too often.

        :raises OperationTimedOut: if there is none in time.
        """
        while True:
            found = probe()
            if found is not None:
                return found
            if self.deadline.remaining <= self._access.poll_seconds:
                raise exception.OperationTimedOut(
                    what=what, seconds=round(self.deadline.seconds, 1)
                )
            clock.sleep(self._access.poll_seconds)

    def _renewed(self, what: str, ask: Any) -> Any:
        """Ask, and once more after a login if the session has ended: nothing was done then."""
        for left in range(self._access.retries, -1, -1):
            try:
                return self._guarded(what, ask)
            except Fault as error:
                if error.kind != _NOT_AUTHENTICATED or not left or self.deadline.passed:
                    raise
            before = self._wire.is_repeatable
            LOG.info('The session at %s has ended, and is begun again', self.server)
            self._log_in()
            self._wire.is_repeatable = before
        raise AssertionError  # The loop has returned or raised.

    def _guarded(self, what: str, ask: Any, *arguments: Any) -> Any:
        """Ask; errors are those of this library, and name the server.

        :raises Fault: if the server reports one.
        """
        self._wire.failure = None
        try:
            return ask(*arguments)
        except self._errors.VimFaultException as error:
            kinds = [str(kind).rpartition(':')[2] for kind in error.fault_list]
            raise Fault(self.server, what, kinds[0] if kinds else '', _words(error)) from None
        except exception.BrickException:
            raise
        except Exception as error:  # noqa: BLE001 oslo.vmware and suds raise what they like
            if self._wire.failure is not None:
                raise self._wire.failure from None
            # Not chained: its text may be the whole answer.
            raise exception.StorageServerError(
                server=str(self.server),
                request=what,
                why=f'what it answers is not understood ({type(error).__name__})',
            ) from None


class Fault(exception.BrickException):
    """The server reports that a call failed.

    :ivar kind: the API's name of the fault.
    """

    def __init__(self, server: object, what: str, kind: str, words: str) -> None:
        self.kind = kind.removesuffix('Fault')
        super().__init__(f'{server}: {what} failed: {kind or "unknown fault"}: {words}')


def _fault_of(server: http.Server, method: str, error: Any) -> Fault:
    # suds has a text in the place of a value without fields.
    kind = type(getattr(error, 'fault', None)).__name__
    kind = '' if kind in ('Text', 'NoneType', 'str') else kind
    return Fault(server, method, kind, str(getattr(error, 'localizedMessage', ''))[:500])


def _words(error: Exception) -> str:
    return str(getattr(error, 'msg', None) or error).partition('\n')[0][:500]


class Reverse:
    """One act at the server that is taken back over the session, by nothing that could be kept."""

    def __init__(self, what: str, act: Callable[[], None]) -> None:
        self._what = what
        self.take_back = act

    def __str__(self) -> str:
        return self._what

    def steps(self) -> list[undo.Data]:
        """Nothing: another process has no session."""
        return []


def require_done(answer: http.Answer, what: str) -> None:
    """Have a transfer be done.

    :raises StorageServerError: if the server refuses it.
    """
    if answer.status not in _DONE:
        raise exception.StorageServerError(
            server=str(answer.server),
            request=str(answer.request),
            why=f'{what}: it answers with status {answer.status}',
        )
