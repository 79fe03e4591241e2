# SPDX-License-Identifier: Apache-2.0
"""Errors about encrypted volumes."""

from os_brick.exception.base import BrickException


class WrongPassphrase(BrickException):
    """No key slot of an encrypted volume opens with the passphrase of the key manager.

    The volume is LUKS and whole: look at which key (``encryption_key_id``) belongs to it. Nothing
    was changed.

    :ivar device: the device of the volume.
    """

    device: str | None
    message = 'The passphrase opens no key slot of the LUKS volume on %(device)s.'


class NotLUKS(BrickException):
    """A device is to be a LUKS volume, has no LUKS header, and is not formatted.

    The text says what is on it. If that is data, the device may be another volume than the caller
    takes it for: find out before anything is written to it. Nothing was changed.

    :ivar device: the device of the volume.
    :ivar why: what was found, and which option, if any, has it formatted all the same.
    """

    device: str | None
    why: str | None
    message = 'Device %(device)s has no LUKS header and is not formatted: %(why)s.'
