# SPDX-License-Identifier: Apache-2.0
"""What root does for PowerFlex: ask the client in the kernel, and read the gateway's password.

The client (SDC, the module scini) has a character device. Its ioctls are those of Dell's own
``drv_cfg``; Dell's goscaleio (drv_cfg.go) has them in source.
"""

from __future__ import annotations

from collections.abc import Iterator
import configparser
import contextlib
import os
import uuid

from os_brick import exception, privileged
from os_brick.core import files, kernel, process
from os_brick.model import powerflex
from os_brick.privileged import check

SCINI_DEVICE_PATH = '/dev/scini'

# _IO('a', 14) and _IO('a', 10).
QUERY_GUID = 0x610E
RESCAN = 0x610A
_SECONDS = 10.0
# A return code, the GUID, and two numbers; more room than any release writes.
_ANSWER_BYTES = 64
_GUID_AT = 8
_LARGEST_FILE = 1 << 20


class _Hidden(str):
    """A text that the daemon's log of its answers does not show; it is sent as it is."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


@contextlib.contextmanager
def open_scini_device() -> Iterator[int]:
    """A descriptor of the client's device during the block.

    :raises OSError: if it cannot be opened.
    """
    with kernel.device(SCINI_DEVICE_PATH, os.O_RDWR) as descriptor:
        yield descriptor


@privileged.entrypoint
def get_guid(op_code: int = QUERY_GUID) -> str:
    """Return the GUID of this host's client.

    :param op_code: the one that asks for it; kept for callers that pass it.
    :raises OSError: if the client does not answer; ``ENODATA`` if it has no GUID.
    :raises OperationTimedOut: if it hangs.
    """
    _require_op_code(op_code, QUERY_GUID)
    answer = process.isolated('the GUID of the PowerFlex client', _SECONDS, _ask, QUERY_GUID)
    found = answer[_GUID_AT : _GUID_AT + 16]
    if not any(found):
        raise OSError(f'{SCINI_DEVICE_PATH}: the PowerFlex client has no GUID')
    return str(uuid.UUID(bytes=found))


@privileged.entrypoint
def rescan_vols(op_code: int = RESCAN) -> None:
    """Have the client ask anew which volumes it has, and how large they are.

    :param op_code: the one that does it; kept for callers that pass it.
    :raises OSError: if the client refuses it.
    :raises OperationTimedOut: if it hangs.
    """
    _require_op_code(op_code, RESCAN)
    process.isolated('the rescan of the PowerFlex client', _SECONDS, _ask, RESCAN)


def _ask(request: int) -> bytes:
    answer = bytearray(_ANSWER_BYTES)
    with open_scini_device() as descriptor:
        kernel.ioctl(descriptor, request, answer)
    return bytes(answer)


def _require_op_code(given: object, known: int) -> None:
    if given != known:
        raise exception.InvalidParameterValue(err=f'the only operation known here is {known:#x}')


@privileged.entrypoint
def get_connector_username_password(
    filename: str, config_group: str, failed_over: bool
) -> tuple[str | None, str]:
    """Return user and password of a gateway from connector.conf; the user may be missing.

    :param filename: the path of connector.conf, and nothing else.
    :param config_group: the section.
    :param failed_over: whether those of the replica's gateway are meant.
    :raises BrickException: if they are not there; nothing of the file is in the text.
    """
    if filename != powerflex.CONNECTOR_CONF:
        raise exception.InvalidParameterValue(err=f'only {powerflex.CONNECTOR_CONF} is read')
    section = check.full(powerflex.CONFIG_GROUP, config_group)
    prefix = 'replicating_san' if failed_over else 'san'
    user, password = f'{prefix}_username', f'{prefix}_password'
    parser = _parsed()
    if not parser.has_section(section):
        raise exception.BrickException(f'{powerflex.CONNECTOR_CONF} has no section {section}')
    found = _option(parser, section, password)
    if not found:
        raise exception.BrickException(
            f'Section {section} of {powerflex.CONNECTOR_CONF} has no option {password}'
        )
    return _option(parser, section, user), _Hidden(found)


def _option(parser: configparser.ConfigParser, section: str, name: str) -> str | None:
    """An option as os-brick 7.1.1 reads it: ``%%`` is a ``%``, and ``%(other)s`` another option.

    A ``%`` that is neither, which was an error there, is itself.
    """
    try:
        return parser.get(section, name, fallback=None) or None
    except configparser.InterpolationError:
        return parser.get(section, name, raw=True) or None


def _parsed() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False)
    try:
        text = files.read_regular(powerflex.CONNECTOR_CONF, _LARGEST_FILE).decode()
        parser.read_string(text)
    except OSError as error:
        raise exception.BrickException(
            f'{powerflex.CONNECTOR_CONF} cannot be read: {error.strerror}'
        ) from None
    except (configparser.Error, UnicodeDecodeError):
        # Their texts have lines of the file in them.
        raise exception.BrickException(
            f'{powerflex.CONNECTOR_CONF} is not a valid INI file'
        ) from None
    return parser
