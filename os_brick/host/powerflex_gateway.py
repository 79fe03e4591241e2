# SPDX-License-Identifier: Apache-2.0
"""PowerFlex's REST gateway: a volume is looked up, mapped to this host's client, limited, unmapped.

As in Dell's "PowerFlex REST API" (developer.dell.com): a login with user and password returns a
token, which takes the password's place in what follows. A token ends after ten minutes without a
request, after eight hours in any case, and when the gateway restarts.
"""

from __future__ import annotations

import base64
import re
import urllib.parse

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import clock, http, trace, wait
from os_brick.host import powerflex as sdc
from os_brick.model import names, powerflex

LOG = logging.getLogger(__name__)

_OK = 200
_FAILED = 500
_REFUSED = frozenset({401, 403})
_NOT_FOUND = 404
_SYSTEM_ID = re.compile(r'[0-9A-Fa-f]{1,16}')
# The pauses before a gateway that fails is asked for its system once more.
_SYSTEM_PAUSES_SECONDS = (0.5, 1.0)
# What a gateway writes is shown as far as this.
_LONGEST_MESSAGE = 300
# To end a session is a courtesy.
_LOGOUT_SECONDS = 5.0


class Session:
    """What one operation asks a gateway; it logs in when it has to.

    :ivar deadline: by when what is asked has to be answered.
    """

    def __init__(self, gateway: powerflex.Gateway, deadline: wait.Deadline) -> None:
        """Make one; nothing is asked yet.

        :raises InvalidParameterValue: if the gateway's certificate cannot be used.
        """
        self._gateway = gateway
        self.deadline = deadline
        tls = http.Tls(verify=gateway.verify, ca_path=gateway.ca_path)
        self._client = http.Client(http.Server(gateway.host, gateway.port, tls))
        self._token = gateway.token
        self._user = gateway.user
        self._password = ''
        self._is_bearer = False
        self._has_logged_in = False
        # What was sent, in each form in which the gateway may repeat it.
        self._secrets: set[str] = set()
        self._hide(gateway.token, gateway.password)

    def volume_id(self, name: str, kept: str | None = None) -> str:
        """The ID of the volume that has a name now.

        :param kept: what is returned if no volume has it.
        :raises BrickException: if the gateway does not report one.
        """
        # Quoted twice: the gateway's own server has unquoted it once before the name is looked for.
        quoted = urllib.parse.quote(urllib.parse.quote(name, safe=''), safe='')
        answer = self._send('GET', f'/api/types/Volume/instances/getByName::{quoted}')
        if answer.status != _OK:
            code, message = _error_in(answer)
            if kept is not None and code in powerflex.NOT_FOUND:
                return kept
            raise self._refusal(f'look up volume {names.shown(name)}', answer, code, message)
        found = answer.json()
        try:
            return powerflex.VOLUME_ID.parse(found).lower()
        except ValueError:
            raise exception.BrickException(
                f'PowerFlex gateway {self._client.server} reports no ID of volume '
                f'{names.shown(name)}'
            ) from None

    def system_id(self) -> str:
        """The ID of the system behind the gateway.

        Asked again when the gateway fails: it is what tells volumes of two systems apart, so
        nothing takes its place.

        :raises BrickException: if the gateway does not report one system.
        """
        answer = self._answer_of_systems()
        if answer.status != _OK:
            raise self._refusal('report its system', answer, *_error_in(answer))
        found = answer.json()
        system = found[0] if isinstance(found, list) and len(found) == 1 else None
        number = system.get('id') if isinstance(system, dict) else None
        if not isinstance(number, str) or not _SYSTEM_ID.fullmatch(number):
            raise exception.BrickException(
                f'PowerFlex gateway {self._client.server} does not report the ID of its one system'
            )
        return number.lower()

    def _answer_of_systems(self) -> http.Answer:
        for pause in (*_SYSTEM_PAUSES_SECONDS, 0.0):
            answer = self._send('GET', '/api/types/System/instances')
            if answer.status < _FAILED or not pause or self.deadline.remaining <= pause:
                break
            clock.sleep(pause)
        return answer

    def size_bytes(self, volume: str) -> int:
        """The size of a volume.

        :raises BrickException: if the gateway does not report it.
        """
        found = self._get(f'/api/instances/Volume::{volume}', f'show volume {volume}').json()
        size = found.get('sizeInKb') if isinstance(found, dict) else None
        if isinstance(size, bool) or not isinstance(size, int) or size <= 0:
            raise exception.BrickException(
                f'PowerFlex gateway {self._client.server} reports no size of volume {volume}'
            )
        return size * 1024

    def map(self, volume: str, guid: str) -> bool:
        """Map a volume to a client; return whether it was not mapped before, as far as is known.

        :raises BrickException: if the gateway refuses it; it may be mapped if it broke off.
        """
        content = {'guid': guid, 'allowMultipleMappings': 'TRUE'}
        try:
            return self._act(volume, 'addMappedSdc', content, powerflex.ALREADY_MAPPED)
        except exception.StorageServerUnreachable:
            raise
        except exception.StorageServerError as error:
            LOG.info('%s Whether volume %s is mapped is asked once more', error, volume)
        # If it is by now, the order before has done it, as far as anyone can tell.
        self._act(volume, 'addMappedSdc', content, powerflex.ALREADY_MAPPED)
        return True

    def limit(self, volume: str, guid: str, limits: powerflex.Limits) -> None:
        """Limit what a client does with a volume that is mapped to it.

        :raises BrickException: if the gateway refuses it.
        """
        content = {'guid': guid, **limits.as_json()}
        self._act(volume, 'setMappedSdcLimits', content, (), is_repeatable=True)

    def unmap(self, volume: str, guid: str) -> None:
        """Unmap a volume from a client; one that is not mapped is not an error.

        :raises BrickException: if the gateway refuses it.
        """
        content = {'guid': guid}
        self._act(volume, 'removeMappedSdc', content, powerflex.NOT_MAPPED, is_repeatable=True)

    def end(self) -> None:
        """Give back the token, if it is of this session; that fails in the log only."""
        if not self._has_logged_in or not self._token:
            return
        request = self._request('GET', '/api/logout', None)
        self._token, self._has_logged_in = '', False
        try:
            self._client.ask(request, self.deadline.within(_LOGOUT_SECONDS))
        except exception.BrickException as error:
            LOG.debug('The session at %s is left to end by itself: %s', self._client.server, error)

    def _act(
        self,
        volume: str,
        action: str,
        content: dict[str, str],
        harmless: tuple[int, ...],
        *,
        is_repeatable: bool = False,
    ) -> bool:
        """Have the gateway do something with a volume; return whether it was not done before.

        :param harmless: the codes of errors that mean that it was.
        """
        path = f'/api/instances/Volume::{volume}/action/{action}'
        answer = self._send('POST', path, content, is_repeatable=is_repeatable)
        if answer.status == _OK:
            return True
        code, message = _error_in(answer)
        if code in harmless:
            return False
        raise self._refusal(f'{action} of volume {volume}', answer, code, message)

    def _get(self, path: str, what: str) -> http.Answer:
        answer = self._send('GET', path)
        if answer.status != _OK:
            raise self._refusal(what, answer, *_error_in(answer))
        return answer

    def _send(
        self,
        method: str,
        path: str,
        content: dict[str, str] | None = None,
        *,
        is_repeatable: bool | None = None,
    ) -> http.Answer:
        if not self._token:
            self._login()
        for is_last in (False, True):
            request = self._request(method, path, content, is_repeatable=is_repeatable)
            answer = self._client.ask(request, self.deadline)
            if answer.status not in _REFUSED or is_last:
                break
            # The token has ended, or was never valid.
            self._login()
        return answer

    def _request(
        self,
        method: str,
        path: str,
        content: dict[str, str] | None,
        *,
        is_repeatable: bool | None = None,
    ) -> http.Request:
        if self._is_bearer:
            headers = {'Authorization': f'Bearer {self._token}'}
        else:
            headers = http.basic(self._user, self._token)
        self._hide(headers['Authorization'].partition(' ')[2])
        if content is None:
            return http.Request(method, path, headers, None, is_repeatable)
        return http.Request.with_json(method, path, content, headers, is_repeatable=is_repeatable)

    def _login(self) -> None:
        """Get a token.

        :raises BrickException: if the gateway rejects user or password; it is asked once only,
            because it may lock the user out.
        """
        self._token = ''
        self._user, self._password = self._credentials()
        headers = http.basic(self._user, self._password)
        self._hide(self._password, headers['Authorization'].partition(' ')[2])
        request = http.Request('GET', '/api/login', headers)
        answer = self._client.ask(request, self.deadline)
        self._is_bearer = answer.status == _NOT_FOUND
        if self._is_bearer:
            answer = self._login_of_manager()
        if answer.status != _OK:
            raise self._refusal(
                f'log in user {names.shown(self._user)}', answer, *_error_in(answer)
            )
        found = answer.json()
        token = found.get('access_token') if isinstance(found, dict) else found
        # RFC 9110, 5.5: what is sent in a header; tokens are in base64.
        if not (isinstance(token, str) and token.isascii() and token.isprintable() and token):
            raise exception.BrickException(
                f'PowerFlex gateway {self._client.server} returns no token for user '
                f'{names.shown(self._user)}'
            )
        self._token, self._has_logged_in = token, True
        self._hide(token)

    def _hide(self, *secrets: str) -> None:
        for each in filter(None, secrets):
            encoded = base64.b64encode(each.encode('utf-8', 'replace')).decode()
            self._secrets |= {each, encoded, urllib.parse.quote(each, safe='', errors='replace')}

    def _login_of_manager(self) -> http.Answer:
        """PowerFlex Manager 4 and later has a login of its own, and may have no other."""
        content = {'username': self._user, 'password': self._password}
        request = http.Request.with_json(
            'POST', '/rest/auth/login', content, {}, is_repeatable=True
        )
        return self._client.ask(request, self.deadline)

    def _credentials(self) -> tuple[str, str]:
        """Read anew for each login: an operator may have changed the password."""
        gateway = self._gateway
        if not gateway.config_group:
            return gateway.user, gateway.password
        user, password = sdc.credentials(gateway.config_group, failed_over=gateway.failed_over)
        if not (user or gateway.user):
            raise exception.BrickException(
                f'Section {gateway.config_group} of {powerflex.CONNECTOR_CONF} has no user name'
            )
        return user or gateway.user, password

    def _refusal(
        self, what: str, answer: http.Answer, code: int | None, message: str
    ) -> exception.BrickException:
        shown = trace.said(message, self._secrets, _LONGEST_MESSAGE)
        why = shown or f'status {answer.status}'
        number = f' (error {code})' if code is not None else ''
        return exception.BrickException(
            f'PowerFlex gateway {self._client.server} refused to {what}: {why}{number}'
        )


def _error_in(answer: http.Answer) -> tuple[int | None, str]:
    """Code and message of an error; a page of HTML has neither."""
    try:
        found = answer.json()
    except exception.StorageServerError:
        return None, ''
    if not isinstance(found, dict):
        return None, ''
    code, message = found.get('errorCode'), found.get('message')
    is_code = isinstance(code, int) and not isinstance(code, bool)
    return code if is_code else None, message if isinstance(message, str) else ''
