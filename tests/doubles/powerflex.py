# SPDX-License-Identifier: Apache-2.0
"""A PowerFlex REST gateway that keeps state.

Written from Dell's public material, not from our client: the "PowerFlex REST API" on
developer.dell.com, the SDKs dell/python-powerflex (base_client.py, objects/volume.py) and
dell/goscaleio (api.go, volume.go and their tests, which have the bodies of errors), and the texts
that ``scli`` prints.

* ``GET /api/login``, basic: a token as a JSON text. What follows has it as the password (3), or as
  a bearer (4, whose own login is ``POST /rest/auth/login``).
* ``GET /api/types/Volume/instances/getByName::NAME``: an ID as a JSON text. NAME is quoted twice.
* ``POST /api/instances/Volume::ID/action/...``: addMappedSdc, removeMappedSdc, setMappedSdcLimits.
* An error is ``{"message": ..., "httpStatusCode": 500, "errorCode": ...}``.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
import dataclasses
import itertools
from typing import Any, Protocol
import urllib.parse

from tests.doubles import certificates, web

SYSTEM = '610204d03e3ad60f'


class Client(Protocol):
    """A host that volumes are mapped to."""

    def mapped(self, volume: Volume) -> None: ...

    def unmapped(self, volume: Volume) -> None: ...


@dataclasses.dataclass
class Volume:
    """A volume; ``mapped`` has the limits of each client by its GUID."""

    id: str
    name: str
    size_kb: int
    mapped: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)


class Gateway(web.Server):
    """The gateway of one system.

    :ivar release: 3 or 4, whose codes of errors differ.
    :ivar has_old_login: whether ``/api/login`` is there.
    :ivar tokens: those that are valid, with their users.
    :ivar passwords: by user.
    """

    def __init__(self, release: int = 3, name: str = '127.0.0.1') -> None:
        super().__init__(certificates.of(name))
        self.release = release
        self.has_old_login = True
        self.system = SYSTEM
        self.passwords = {'admin': 'S3cret-password'}
        self.tokens: dict[str, str] = {}
        self.volumes: dict[str, Volume] = {}
        self.clients: dict[str, Client] = {}
        self.logins = 0
        self._numbers = itertools.count(1)

    # What an operator does.

    def volume(self, name: str, gigabytes: int = 8) -> Volume:
        number = f'bec108c4{next(self._numbers):08x}'
        made = Volume(number, name, gigabytes << 20)
        self.volumes[number] = made
        return made

    def expire(self) -> None:
        """End all tokens: eight hours are over, or the gateway was restarted."""
        self.tokens.clear()

    def properties(self, volume: Volume, **more: Any) -> dict[str, Any]:
        """What Cinder's driver passes for a volume."""
        assert self.certificate is not None
        return {
            'scaleIO_volname': volume.name,
            'scaleIO_volume_id': volume.id,
            'hostIP': '192.0.2.1',
            'serverIP': '127.0.0.1',
            'serverPort': str(self.port),
            'serverUsername': 'admin',
            'serverPassword': self.passwords['admin'],
            'serverToken': None,
            'iopsLimit': None,
            'bandwidthLimit': None,
            'verify_certificate': True,
            'certificate_path': str(self.certificate.file),
            **more,
        }

    # What a client asks.

    def answer(self, request: web.Seen) -> web.Reply:
        parts = request.parts
        if parts[:2] == ['api', 'login']:
            return self._login(request)
        if parts == ['rest', 'auth', 'login']:
            content = request.json
            return self._manager_login(content['username'], content['password'])
        if not self._is_known(request):
            return _error(401, 0, 'Unauthorized')
        if parts[:2] == ['api', 'logout']:
            self.tokens.pop(self._token(request), None)
            return web.json_reply('')
        if parts == ['api', 'types', 'System', 'instances']:
            return web.json_reply([{'id': self.system, 'systemVersionName': 'DellEMC PowerFlex'}])
        if parts[:4] == ['api', 'types', 'Volume', 'instances'] and len(parts) == 5:
            return self._by_name(parts[4])
        if parts[:2] == ['api', 'instances'] and parts[2].startswith('Volume::'):
            return self._of_volume(request, parts[2].removeprefix('Volume::'), parts[3:])
        return web.Reply(404, b'Not found')

    def _login(self, request: web.Seen) -> web.Reply:
        if not self.has_old_login:
            return web.Reply(404, b'<html>404</html>', {'Content-Type': 'text/html'})
        user, password = _basic(request)
        self.logins += 1
        if self.passwords.get(user) != password:
            return _error(401, 0, 'Unauthorized')
        return web.json_reply(self._new_token(user))

    def _manager_login(self, user: str, password: str) -> web.Reply:
        self.logins += 1
        if self.passwords.get(user) != password:
            return _error(401, 0, 'Unauthorized')
        token = self._new_token(user)
        return web.json_reply({'access_token': token, 'refresh_token': f'r-{token}'})

    def _new_token(self, user: str) -> str:
        token = base64.b64encode(f'YWRtaW46{next(self._numbers)}:token'.encode()).decode()
        self.tokens[token] = user
        return token

    def _token(self, request: web.Seen) -> str:
        header = request.headers.get('authorization', '')
        return header[7:] if header.startswith('Bearer ') else _basic(request)[1]

    def _is_known(self, request: web.Seen) -> bool:
        header = request.headers.get('authorization', '')
        user = self.tokens.get(self._token(request))
        if header.startswith('Bearer '):
            return user is not None and self.release >= 4
        return user is not None and user == _basic(request)[0]

    def _by_name(self, part: str) -> web.Reply:
        name = urllib.parse.unquote(part.removeprefix('getByName::'))
        found = [each.id for each in self.volumes.values() if each.name == name]
        return web.json_reply(found[0]) if found else _error(500, 3, 'Not found')

    def _of_volume(self, request: web.Seen, number: str, rest: list[str]) -> web.Reply:
        volume = self.volumes.get(number)
        if volume is None:
            return _error(500, 79, 'Could not find the volume')
        if request.method == 'GET' and not rest:
            mapped = [{'sdcId': guid} for guid in volume.mapped]
            shown = {'id': number, 'name': volume.name, 'sizeInKb': volume.size_kb}
            return web.json_reply({**shown, 'mappedSdcInfo': mapped})
        act = _ACTIONS.get(rest[1]) if request.method == 'POST' and len(rest) == 2 else None
        return act(self, volume, request.json) if act else web.Reply(404, b'')

    def _map(self, volume: Volume, content: dict[str, str]) -> web.Reply:
        guid = content['guid'].lower()
        if guid not in self.clients:
            return _error(500, 83, 'The SDC was not found')
        if guid in volume.mapped:
            code = 81 if self.release < 4 else 4037
            return _error(500, code, 'The volume is already mapped to this SDC')
        if volume.mapped and content.get('allowMultipleMappings') != 'TRUE':
            return _error(500, 306, 'Only a single SDC may be mapped to this volume at a time')
        volume.mapped[guid] = {}
        self.clients[guid].mapped(volume)
        return web.json_reply({})

    def _unmap(self, volume: Volume, content: dict[str, str]) -> web.Reply:
        guid = content['guid'].lower()
        if guid not in volume.mapped:
            code = 84 if self.release < 4 else 4039
            return _error(500, code, 'The volume is not mapped to SDC')
        del volume.mapped[guid]
        self.clients[guid].unmapped(volume)
        return web.json_reply({})

    def _limit(self, volume: Volume, content: dict[str, str]) -> web.Reply:
        guid = content['guid'].lower()
        if guid not in volume.mapped:
            return _error(500, 84, 'The volume is not mapped to SDC')
        # scli: the least is 11 IOPS, and 0 means no limit.
        if 0 < int(content.get('iopsLimit', 0)) < 11:
            return _error(500, 388, 'The IOPS limit must be a number larger than 10')
        volume.mapped[guid] = {key: value for key, value in content.items() if key != 'guid'}
        return web.json_reply({})


_Action = Callable[[Gateway, Volume, dict[str, str]], web.Reply]
_ACTIONS: dict[str, _Action] = {
    'addMappedSdc': Gateway._map,
    'removeMappedSdc': Gateway._unmap,
    'setMappedSdcLimits': Gateway._limit,
}


def _error(status: int, code: int, message: str) -> web.Reply:
    content = {'message': message, 'httpStatusCode': status, 'errorCode': code}
    return web.json_reply(content, status)


def _basic(request: web.Seen) -> tuple[str, str]:
    kind, _blank, encoded = request.headers.get('authorization', '').partition(' ')
    if kind != 'Basic':
        return '', ''
    user, _colon, password = base64.b64decode(encoded).decode().partition(':')
    return user, password
