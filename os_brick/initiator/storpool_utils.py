# SPDX-License-Identifier: Apache-2.0
"""StorPool's configuration and its API, for this library and for Cinder's driver.

::

    conf = storpool_utils.get_conf()
    api = storpool_utils.StorPoolAPI(
        conf['SP_API_HTTP_HOST'], conf['SP_API_HTTP_PORT'], conf['SP_AUTH_TOKEN']
    )
    api.volume_get_info('os--volume-1')['globalId']

The calls are those of "StorPool API Reference", version 21.0
(https://kb.storpool.com/reference/rest_api.html). The API is HTTP without encryption, so its token
is only as safe as the network that it is on.
"""

from __future__ import annotations

from collections.abc import Mapping
import copy
import json
import os
import pathlib
import platform
import re
from typing import Any, Final, Self
import urllib.parse

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import clock, http, trace, wait
from os_brick.host import storpool_conf
from os_brick.model import addresses
from os_brick.model import storpool as model

LOG = logging.getLogger(__name__)

DEV_STORPOOL = pathlib.Path(model.BY_NAME)
DEV_STORPOOL_BYID = pathlib.Path(model.BYID)
STORPOOL_CONF_DEFAULTS = {'SP_API_HTTP_HOST': '127.0.0.1', 'SP_API_HTTP_PORT': '81'}
ENV_OVERRIDE = ['SP_AUTH_TOKEN', 'SP_API_HTTP_HOST', 'SP_API_HTTP_PORT']

_HIGHEST_PORT = 65535

_PREFIX = '/ctrl/1.0'
_OK = 200
# A list has an entry of some 700 bytes for each volume of the cluster.
_LARGEST_LIST = 64 << 20
_LARGEST_ANSWER = 8 << 20
# A management service that moves to another node is away for less than that.
_AWAY_SECONDS = 30.0
_MISSING_NAME = '<Missing error name>'
_MISSING_DESC = '<Missing error description>'
_LONGEST_NAME = 100
_LONGEST_DESC = 1000


def get_conf(section: str | None = None, use_env: bool = True) -> dict[str, Any]:
    """Return what is configured for a host: ``/etc/storpool.conf``, then ``storpool.conf.d``.

    What is set for all hosts counts less than what is set in a host's section, and both less than
    the environment. A name without a value is ``None``.

    :param section: the name of the host; this host's if ``None``.
    :param use_env: whether :data:`ENV_OVERRIDE` are read from the environment.
    :raises HostNotReady: if there is no configuration.
    :raises BrickException: if a file cannot be read, or has a line that is not one.
    """
    found = storpool_conf.read(platform.node() if section is None else section)
    given = {name: os.environ[name] for name in ENV_OVERRIDE if use_env and name in os.environ}
    return {**STORPOOL_CONF_DEFAULTS, **found, **given}


def os_to_sp_volume_name(prefix: str, volume_id: str) -> str:
    """Return StorPool's name of a Cinder volume."""
    return f'{prefix}--volume-{volume_id}'


def os_to_sp_snapshot_name(
    prefix: str,
    type: str,  # noqa: A002 the name that callers know
    snapshot_id: str,
    more: str | None = None,
) -> str:
    """Return StorPool's name of a Cinder snapshot."""
    return f'{prefix}--{type}--{"none" if more is None else more}--snapshot-{snapshot_id}'


class StorPoolAPIError(exception.BrickException):
    """StorPool refused a request, or gave no answer that could be used.

    :ivar status: the status of the answer; 0 if there was none.
    :ivar json: the answer.
    :ivar name: the kind of error, such as ``objectDoesNotExist``.
    :ivar desc: what StorPool says of it.
    :ivar transient: whether the same request may succeed soon.
    """

    status: Any = 0
    json: Any = None
    name: str = _MISSING_NAME
    desc: str = _MISSING_DESC
    transient: bool = False
    message = 'StorPool: HTTP status %(status)s, %(name)s: %(desc)s'

    def __init__(self, status: Any, json: Any) -> None:
        error = json.get('error') if isinstance(json, Mapping) else None
        facts = error if isinstance(error, Mapping) else {}
        self.status, self.json = status, json
        self.name = trace.one_line(str(facts.get('name', self.name))[:_LONGEST_NAME])
        self.desc = trace.one_line(str(facts.get('descr', self.desc))[:_LONGEST_DESC])
        super().__init__(status=status, name=self.name, desc=self.desc)
        self.transient = bool(facts.get('transient', False))

    def portable_args(self) -> tuple[Any, ...]:
        """Return the arguments that rebuild this error in another process."""
        return self.status, self.json

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.portable_args()


class StorPoolAPI:
    """StorPool's API, for one token. It keeps no connection, so threads may share it.

    :ivar url: host and port.
    :ivar timeout: how long a call may take in seconds, with all its tries.
    :ivar transient_retries: how often a call is repeated that StorPool says may succeed soon.
    """

    def __init__(
        self,
        host: str,
        port: int | str,
        auth: str,
        timeout: float = 300,
        transient_retries: int = 5,
    ) -> None:
        """Use the API at a host.

        :raises InvalidParameterValue: if host, port or token cannot be one.
        """
        server = http.Server(_host(host), _port(port))
        self._client: Final = http.Client(server)
        self.url = str(server).removeprefix('http://')
        self._auth = _token(auth)
        self.timeout = timeout
        self.transient_retries = transient_retries
        self._deadline: wait.Deadline | None = None

    @property
    def auth_header(self) -> dict[str, str]:
        """The header that has the token in it."""
        return {'Authorization': f'Storpool v1:{self._auth}'}

    def until(self, deadline: wait.Deadline) -> Self:
        """Return the same API, whose calls end with a deadline.

        They raise ``OperationTimedOut`` and ``StorageServerError`` as they are.
        """
        other = copy.copy(self)
        other._deadline = deadline
        return other

    def _get(self, path: str, most_bytes: int = _LARGEST_ANSWER) -> Any:
        return self._call(http.Request('GET', f'{_PREFIX}/{path}', self.auth_header), most_bytes)

    def _post(self, path: str, data: Any = None, *, repeatable: bool) -> Any:
        what = ('POST', f'{_PREFIX}/{path}')
        request = (
            http.Request(*what, self.auth_header, is_repeatable=repeatable)
            if data is None
            else http.Request.with_json(*what, data, self.auth_header, is_repeatable=repeatable)
        )
        return self._call(request, _LARGEST_ANSWER)

    def _call(self, request: http.Request, most_bytes: int) -> Any:
        """What StorPool answers; what is over soon is waited out."""
        try:
            return self._answer(
                request, self._deadline or wait.Deadline.after(self.timeout), most_bytes
            )
        except (exception.StorageServerError, exception.OperationTimedOut) as error:
            if self._deadline is not None:
                raise
            # A class that callers of this API expect.
            raise _no_answer(0, str(error)) from error

    def _answer(self, request: http.Request, deadline: wait.Deadline, most_bytes: int) -> Any:
        away = wait.Deadline.after(_AWAY_SECONDS)
        for number in range(self.transient_retries):
            pause = 2.0**number
            try:
                return self._once(request, deadline, most_bytes)
            except (StorPoolAPIError, exception.StorageServerUnreachable) as error:
                is_over_soon = (
                    error.transient if isinstance(error, StorPoolAPIError) else not away.passed
                )
                if not is_over_soon or deadline.remaining <= pause:
                    raise
                LOG.info('%s: %s Trying again in %g s', request, error, pause)
            clock.sleep(pause)
        return self._once(request, deadline, most_bytes)

    def _once(self, request: http.Request, deadline: wait.Deadline, most_bytes: int) -> Any:
        answer = self._client.ask(request, deadline, deadline.limit(), most_bytes)
        try:
            found = answer.json()
            if isinstance(found, dict) and answer.status == _OK and 'error' not in found:
                return found['data']
            found = self._without_token(found)
        except exception.StorageServerError as error:
            raise _no_answer(answer.status, str(error)) from None
        except RecursionError:
            raise _no_answer(answer.status, 'it is nested too deeply') from None
        except KeyError:
            raise _no_answer(answer.status, 'it has neither data nor an error') from None
        raise StorPoolAPIError(answer.status, found)

    def _without_token(self, found: Any) -> Any:
        """An answer that may repeat the request; written anew, as JSON has several spellings."""
        token = json.dumps(self._auth)[1:-1]
        return json.loads(json.dumps(found).replace(token, trace.HIDDEN))

    def disks_list(self) -> Any:
        """Return the disks of the cluster by their ids."""
        return self._get('DisksList', _LARGEST_LIST)

    def volume_templates_list(self) -> Any:
        """Return the templates of volumes."""
        return self._get('VolumeTemplatesList', _LARGEST_LIST)

    def attachments_list(self) -> Any:
        """Return what is attached to which client of this cluster."""
        return self._get('AttachmentsList', _LARGEST_LIST)

    def volumes_reassign(self, data: Any) -> None:
        """Attach and detach volumes and snapshots.

        :param data: a list of what is to be attached and detached where.
        """
        self._post('MultiCluster/VolumesReassign', data, repeatable=True)

    def volumes_reassign_wait(self, data: Any) -> None:
        """Attach and detach, and wait until the clients have done it.

        :param data: that list as ``{'reassign': [...]}``.
        """
        self._post('MultiCluster/VolumesReassignWait', data, repeatable=True)

    def volume(self, volume: str) -> Any:
        """Return a list of one volume."""
        return self._get(f'MultiCluster/Volume/{_quoted(volume)}')

    def volume_create(self, data: Any) -> None:
        """Create a volume. Where the answer is lost it is not tried again."""
        self._post('MultiCluster/VolumeCreate', data, repeatable=False)

    def volume_get_info(self, volume: str) -> Any:
        """Return what there is to know of a volume."""
        return self._get(f'MultiCluster/VolumeGetInfo/{_quoted(volume)}')

    def volume_update(self, volume: str, data: Any) -> None:
        """Change a volume. A new name is not tried again where the answer is lost."""
        self._post(
            f'MultiCluster/VolumeUpdate/{_quoted(volume)}', data, repeatable='rename' not in data
        )

    def volume_revert(self, volume: str, data: Any) -> None:
        """Have a volume be what a snapshot of it is."""
        self._post(f'MultiCluster/VolumeRevert/{_quoted(volume)}', data, repeatable=True)

    def volume_delete(self, volume: str) -> None:
        """Delete a volume."""
        self._post(f'MultiCluster/VolumeDelete/{_quoted(volume)}', repeatable=True)

    def volumes_list(self) -> Any:
        """Return all volumes."""
        return self._get('MultiCluster/VolumesList', _LARGEST_LIST)

    def snapshot_create(self, volume: str, data: Any) -> None:
        """Make a snapshot of a volume. Where the answer is lost it is not tried again."""
        self._post(f'MultiCluster/VolumeSnapshot/{_quoted(volume)}', data, repeatable=False)

    def snapshot_update(self, snapshot: str, data: Any) -> None:
        """Change a snapshot."""
        self._post(f'SnapshotUpdate/{_quoted(snapshot)}', data, repeatable='rename' not in data)

    def snapshot_delete(self, snapshot: str) -> None:
        """Delete a snapshot."""
        self._post(f'MultiCluster/SnapshotDelete/{_quoted(snapshot)}', repeatable=True)

    def get_iscsi_config(self) -> Any:
        """Return what the cluster exports by iSCSI."""
        return self._get('iSCSIConfig', _LARGEST_LIST)

    def post_iscsi_config(self, data: Any) -> Any:
        """Change what the cluster exports by iSCSI; not again where the answer is lost."""
        return self._post('iSCSIConfig', data, repeatable=False)


def _no_answer(status: int, why: str) -> StorPoolAPIError:
    return StorPoolAPIError(status, {'error': {'name': 'noAnswer', 'descr': why}})


def _quoted(name: str) -> str:
    return urllib.parse.quote(str(name), safe='~')


def _host(given: object) -> str:
    try:
        return addresses.host(str(given).removeprefix('[').removesuffix(']'))
    except ValueError as error:
        raise _bad('SP_API_HTTP_HOST', str(error)) from None


def _port(given: object) -> int:
    text = str(given)
    if not re.fullmatch('[0-9]{1,5}', text) or not 0 < int(text) <= _HIGHEST_PORT:
        raise _bad('SP_API_HTTP_PORT', f'it is not a number from 1 to {_HIGHEST_PORT}')
    return int(text)


def _token(given: object) -> str:
    text = '' if given is None else str(given)
    if not text or not text.isascii() or not text.isprintable():
        raise _bad('SP_AUTH_TOKEN', 'it is missing, or has characters that no header can have')
    return text


def _bad(name: str, why: str) -> exception.InvalidParameterValue:
    return exception.InvalidParameterValue(err=f'{name} of the configuration of StorPool: {why}')
