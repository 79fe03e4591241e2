# SPDX-License-Identifier: Apache-2.0
"""Errors about what the caller passes, and about what this version or machine has not."""

from os_brick.exception.base import BrickException


class NotFound(BrickException):
    """Something that was asked for does not exist. Look at the name in the text."""

    message = 'Resource could not be found.'
    code = 404
    safe = True


class Invalid(BrickException):
    """What the caller passes cannot be used. Its subclasses say what is wrong with it."""

    message = 'Unacceptable parameters.'
    code = 400


class InvalidParameterValue(Invalid):
    """A connection property, an argument or an option is missing or wrong; nothing was changed.

    A bug of the caller or of the storage driver, or a typing error in the configuration: the text
    names the key. Trying again does not help.

    :ivar err: what is wrong.
    """

    err: str | None
    message = '%(err)s'


class VolumeEncryptionNotSupported(Invalid):
    """The volume has no device that could be encrypted. Use another volume type."""

    volume_type: str | None
    volume_id: str | None
    message = (
        'Volume encryption is not supported for %(volume_type)s volume %(volume_id)s. '
        'Its connection has no device path that could be encrypted.'
    )


class VolumeLocalCacheNotSupported(Invalid):
    """The volume has no device that could be cached. Use another volume type."""

    volume_type: str | None
    volume_id: str | None
    message = 'Local caching is not supported for %(volume_type)s volume %(volume_id)s.'


class ProtocolNotSupported(BrickException):
    """This version has no connector for the protocol. Use a release that has it."""

    protocol: str | None
    message = 'Protocol %(protocol)s is not supported.'


class InvalidIOHandleObject(BrickException):
    """The object passed as an open volume is not one of this protocol. A bug of the caller."""

    protocol: str | None
    actual_type: object
    message = 'The I/O handle of protocol %(protocol)s has the wrong type %(actual_type)s.'


class InvalidConnectorProtocol(ValueError):
    """This machine has no connector of that name; the text lists those it has.

    A ``ValueError`` and not a :class:`BrickException`: nova catches it as that.
    """
