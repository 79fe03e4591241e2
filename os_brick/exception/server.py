# SPDX-License-Identifier: Apache-2.0
"""Errors of the servers that storage is managed by, such as a gateway with a REST interface."""

from os_brick.exception.base import BrickException


class StorageServerError(BrickException):
    """A storage server broke off, or answered with something that cannot be used.

    Whether it has done what it was asked is not known. Look at its own log.

    :ivar server: its address.
    :ivar request: what it was asked.
    :ivar why: what went wrong.
    """

    server: str | None
    request: str | None
    why: str | None
    message = 'Storage server %(server)s did not answer %(request)s as expected: %(why)s.'


class StorageServerUnreachable(StorageServerError):
    """No connection to a storage server came about: it was asked nothing.

    Look at its address in the configuration of the storage driver, and at the network.
    """

    message = 'Storage server %(server)s cannot be reached for %(request)s: %(why)s.'


class StorageServerNotTrusted(StorageServerUnreachable):
    """A storage server has a certificate that is not trusted: it was asked nothing.

    Give the storage driver the file of the authority that signed it, or the server a certificate
    of the name or address under which it is used.
    """

    message = (
        'The certificate of storage server %(server)s is not trusted, so %(request)s was not sent: '
        '%(why)s.'
    )
