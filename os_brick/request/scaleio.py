# SPDX-License-Identifier: Apache-2.0
"""Connection properties of a PowerFlex volume, as Cinder's driver passes them."""

from __future__ import annotations

import dataclasses
from typing import Any, Self

from os_brick.model import addresses, names, powerflex
from os_brick.request import common

Raw = common.Raw

_LARGEST_LIMIT = 2**63 - 1


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ScaleIORequest(common.BlockRequest):
    """One volume.

    :ivar name: its name at the gateway; empty where Cinder maps it, as it is found by its ID.
    :ivar volume_id: its ID, in lower case; ``None`` for a volume that has to be looked up by name.
    :ivar guid: the client to which Cinder has mapped it; ``None`` if mapping it is for us.
    :ivar gateway: where it is mapped; ``None`` if Cinder does that.
    """

    name: str
    volume_id: str | None
    guid: str | None = None
    gateway: powerflex.Gateway | None = None
    limits: powerflex.Limits = powerflex.NO_LIMITS

    @property
    def key(self) -> str:
        """The volume's ID; without one its name."""
        return f'powerflex {self.volume_id or self.name}'

    @classmethod
    def parse(cls, raw: object, device_info: object = None) -> Self:
        """Read a caller's dictionary, which stays as it is.

        :raises InvalidParameterValue: naming the key that is missing or wrong.
        """
        found = common.mapping(raw)
        volume_id = _volume_id(found)
        guid = found.get('sdc_guid')
        shared = {**cls.shared(found, device_info), 'volume_id': volume_id}
        if guid:
            # Cinder has mapped the volume, and the device is found by the ID.
            common.value(found, 'scaleIO_volume_id', powerflex.VOLUME_ID.parse)
            wanted = common.parsed('sdc_guid', guid, powerflex.GUID.parse).lower()
            return cls(name='', guid=wanted, **shared)
        name = common.value(found, 'scaleIO_volname', powerflex.VOLUME_NAME.parse)
        limits = powerflex.Limits(_limit(found, 'bandwidthLimit'), _limit(found, 'iopsLimit'))
        return cls(name=name, gateway=_gateway(found), limits=limits, **shared)


def _volume_id(raw: Raw) -> str | None:
    found = raw.get('scaleIO_volume_id')
    if not found:
        return None
    return common.parsed('scaleIO_volume_id', found, powerflex.VOLUME_ID.parse).lower()


def _gateway(raw: Raw) -> powerflex.Gateway:
    group = raw.get('config_group')
    section = common.parsed('config_group', group, powerflex.CONFIG_GROUP.parse) if group else ''
    return powerflex.Gateway(
        host=common.value(raw, 'serverIP', _host),
        port=common.value(raw, 'serverPort', _port),
        user=_text(raw, 'serverUsername', is_needed=not section),
        password=_text(raw, 'serverPassword', is_needed=not section),
        token=_text(raw, 'serverToken', is_needed=False),
        config_group=section,
        failed_over=common.flag(raw, 'failed_over'),
        # None is the default of who does not say.
        verify=raw.get('verify_certificate') is None or common.flag(raw, 'verify_certificate'),
        ca_path=_text(raw, 'certificate_path', is_needed=False) or None,
    )


def _host(value: Any) -> str:
    text = names.require_text(value)
    if text.startswith('[') and text.endswith(']'):
        text = text[1:-1]
    return text if addresses.ip(text) else names.HOST_NAME.parse(text)


def _port(value: Any) -> int:
    number = _number(value)
    if not 0 < number <= 65535:
        raise ValueError(f'{names.shown(value)} is not a valid port')
    return number


def _limit(raw: Raw, key: str) -> int | None:
    found = raw.get(key)
    if found is None or found == '':
        return None
    number = common.parsed(key, found, _number)
    if not 0 <= number <= _LARGEST_LIMIT:
        raise common.bad(key, f'{names.shown(found)} is not a valid limit')
    return number


def _number(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 20:
        return int(value)
    raise ValueError(f'{names.shown(value)} is not a valid number')


def _text(raw: Raw, key: str, *, is_needed: bool) -> str:
    """A text that may be secret: no error shows it."""
    found = raw.get(key)
    if found is None or found == '':
        if is_needed:
            raise common.bad(key, 'missing')
        return ''
    if not isinstance(found, str):
        raise common.bad(key, f'expected a text, got {type(found).__name__}')
    if any('\ud800' <= each <= '\udfff' for each in found):
        raise common.bad(key, 'it has characters in it that UTF-8 does not have')
    return found
