# SPDX-License-Identifier: Apache-2.0
"""Cinder's API as the brick client uses it (microversion 3.44, without keystone).

``connection`` is what an attachment is answered with.
"""

from __future__ import annotations

from typing import Any

from tests.doubles import web

VERSION = {'id': 'v3.0', 'status': 'CURRENT', 'version': '3.70', 'min_version': '3.0'}


class Cinder(web.Server):
    """A Cinder with one volume, ``vol``."""

    def __init__(self, connection: dict[str, Any]) -> None:
        super().__init__()
        self.connection = connection
        self.attachments: dict[str, dict[str, Any]] = {}
        self.completed: list[str] = []

    def answer(self, request: web.Seen) -> web.Reply:
        """The answer to one request."""
        parts = [part for part in request.parts if part]
        if 'attachments' in parts:
            return self._of_attachments(request, parts[parts.index('attachments') + 1 :])
        if parts[-1:] == ['vol'] or parts[-1:] == ['volumes'] or parts[-1:] == ['detail']:
            volume = {'id': 'vol', 'name': 'vol', 'status': 'in-use', 'attachments': []}
            is_one = parts[-1] == 'vol'
            return web.json_reply({'volume': volume} if is_one else {'volumes': [volume]})
        link = {'links': [{'rel': 'self', 'href': f'http://127.0.0.1:{self.port}/v3/'}]}
        return web.json_reply({'versions': [VERSION | link]})

    def _of_attachments(self, request: web.Seen, rest: list[str]) -> web.Reply:
        if request.method == 'POST' and not rest:
            name = f'attachment-{len(self.attachments)}'
            info = {**self.connection, 'attachment_id': name}
            self.attachments[name] = {
                'id': name,
                'status': 'attaching',
                'volume_id': 'vol',
                'instance': request.json['attachment']['instance_uuid'],
                'connector': request.json['attachment']['connector'],
                'connection_info': info,
            }
            return web.json_reply({'attachment': self.attachments[name]})
        if request.method == 'POST':
            self.completed.append(rest[0])
            return web.Reply(204)
        if request.method == 'DELETE':
            del self.attachments[rest[0]]
            return web.json_reply({'attachments': list(self.attachments.values())})
        if rest and rest[0] in self.attachments:
            return web.json_reply({'attachment': self.attachments[rest[0]]})
        return web.json_reply({'attachments': list(self.attachments.values())})
