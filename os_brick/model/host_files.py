# SPDX-License-Identifier: Apache-2.0
"""This host's own names, read from their files as the owner of each file reads them."""

from __future__ import annotations

import re
import uuid as uuid_lib

from os_brick.model import names

_INITIATOR_KEY = b'InitiatorName'
# What the C library's isspace() strips.
_SPACE = b' \t\n\v\f\r'
_HOST_ID = re.compile(r'[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}')


def nvme_host_nqn(raw: bytes) -> str:
    """The name in ``/etc/nvme/hostnqn``; empty where the file is blank.

    libnvme 1.x takes the first line up to a NUL (``nvmf_hostnqn_from_file``). An empty file is what
    a crash while writing leaves behind.

    :raises ValueError: if the line is not a name that a subsystem could know this host by.
    """
    line = _first_line(raw)
    return names.HOST_NQN.parse(line) if line or not _is_blank(raw) else ''


def nvme_host_id(raw: bytes) -> str:
    """The UUID in ``/etc/nvme/hostid``, read by the same rules; empty where the file is blank.

    :raises ValueError: if the line is not a UUID with hyphens, which is all that Linux takes.
    """
    line = _first_line(raw)
    if not line and _is_blank(raw):
        return ''
    if not _HOST_ID.fullmatch(line):
        raise ValueError(f'{names.shown(line)} is not a valid UUID')
    return str(uuid_lib.UUID(line))


def initiator_name(raw: bytes) -> str:
    """The name in ``/etc/iscsi/initiatorname.iscsi``; empty where there is none.

    iscsid takes the first line that has the key and a value (open-iscsi 2.1,
    ``cfg_get_string_param``): the key may be anywhere in it, unless a ``#`` comes before. What is
    after the ``=`` is the name, comments and quotes included, without white space around it.

    :raises ValueError: if that is not one line of text.
    """
    for line in raw.split(b'\n'):
        before, key, after = line.partition(b'\0')[0].partition(_INITIATOR_KEY)
        value = after.partition(b'=')[2].strip(_SPACE)
        if key and b'#' not in before and value:
            return _one_line(value)
    return ''


def _first_line(raw: bytes) -> str:
    line = raw.partition(b'\n')[0].partition(b'\0')[0]
    return line.decode('utf-8', 'surrogateescape').strip()


def _is_blank(raw: bytes) -> bool:
    return not raw.strip(_SPACE + b'\0')


def _one_line(value: bytes) -> str:
    text = value.decode('utf-8', 'surrogateescape')
    why = names.RECORD_VALUE.why_not(text)
    if why is not None:
        raise ValueError(f'{names.shown(text)} is not a valid iSCSI name: {why}')
    return text
