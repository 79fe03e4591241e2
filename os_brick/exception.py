# SPDX-License-Identifier: Apache-2.0
"""Every error this library raises.

::

    Exception
    ├── BrickException
    │   ├── NotFound
    │   ├── Invalid
    │   │   ├── InvalidParameterValue
    │   │   ├── VolumeEncryptionNotSupported
    │   │   └── VolumeLocalCacheNotSupported
    │   ├── ProtocolNotSupported
    │   ├── OperationTimedOut
    │   ├── CommandExecutionFailed
    │   ├── InvalidIOHandleObject
    │   ├── VolumeDriverException
    │   ├── the volume
    │   │   ├── VolumeDeviceNotFound
    │   │   ├── VolumePathsNotFound
    │   │   ├── VolumePathNotRemoved
    │   │   ├── VolumeIdentityMismatch
    │   │   ├── VolumeInUse
    │   │   ├── BlockDeviceReadOnly
    │   │   └── MultipathdPathsNotRemoved
    │   ├── the way to it
    │   │   ├── TargetPortalNotFound
    │   │   │   └── TargetPortalsNotFound
    │   │   ├── FailedISCSITargetPortalLogin
    │   │   │   └── LoginRefused
    │   │   ├── NoFibreChannelHostsFound
    │   │   └── NoFibreChannelVolumeDeviceFound
    │   ├── LVM
    │   │   ├── VolumeGroupNotFound
    │   │   ├── VolumeGroupCreationFailed
    │   │   └── VolumeNotDeactivated
    │   └── ExceptionChainer          several errors collected on the way
    ├── ValueError
    │   └── InvalidConnectorProtocol
    └── oslo_concurrency.processutils.ProcessExecutionError
        └── ExecutionTimeout

Errors cross from the privileged daemon as ``cls(*args)`` of simple values, so
whatever must survive that way is in ``args``.
"""

from collections.abc import Iterator
import contextlib
import textwrap
import traceback
import types
from typing import Any, ClassVar

from oslo_concurrency import processutils as putils
from oslo_log import log as logging

LOG = logging.getLogger(__name__)


class BrickException(Exception):
    """Base of our errors: a template and the keywords that fill it.

    ``message`` given to the constructor is used as it is. Keywords that do not
    fit the template never raise: the bare template becomes the text.
    """

    message: ClassVar[str] = 'An unknown exception occurred.'
    code: ClassVar[int] = 500
    headers: ClassVar[dict[str, str]] = {}
    safe: ClassVar[bool] = False

    def __init__(self, message: object = None, **kwargs: Any) -> None:
        self.kwargs: dict[str, Any] = {'code': self.code, **kwargs}
        self.msg: str = str(message) if message else self._filled()
        super().__init__(self.msg)

    def _filled(self) -> str:
        try:
            return self.message % self.kwargs
        except (KeyError, TypeError, ValueError) as error:
            # The names only: a value may be a secret.
            LOG.error(
                'The text of %s cannot be made from the keywords %s: %r',
                type(self).__name__,
                ', '.join(sorted(self.kwargs)),
                error,
            )
            return self.message


class NotFound(BrickException):
    message = 'Resource could not be found.'
    code = 404
    safe = True


class Invalid(BrickException):
    message = 'Unacceptable parameters.'
    code = 400


class InvalidParameterValue(Invalid):
    message = '%(err)s'


class VolumeEncryptionNotSupported(Invalid):
    message = (
        'Volume encryption is not supported for %(volume_type)s volume %(volume_id)s. '
        'Its connection has no device path that could be encrypted.'
    )


class VolumeLocalCacheNotSupported(Invalid):
    message = 'Local caching is not supported for %(volume_type)s volume %(volume_id)s.'


class ProtocolNotSupported(BrickException):
    message = 'Protocol %(protocol)s is not supported.'


class OperationTimedOut(BrickException):
    """The one deadline of an operation has passed."""

    message = '%(what)s did not end within %(seconds)s seconds.'


class CommandExecutionFailed(BrickException):
    message = 'Command %(cmd)s failed.'


class InvalidIOHandleObject(BrickException):
    message = 'The I/O handle of %(protocol)s is of the wrong type %(actual_type)s.'


class VolumeDriverException(BrickException):
    message = 'Volume driver %(name)s failed.'


class VolumeDeviceNotFound(BrickException):
    message = 'Volume device not found at %(device)s.'


class VolumePathsNotFound(BrickException):
    message = 'No path of the volume was found on this host.'


class VolumePathNotRemoved(BrickException):
    message = 'The volume is still on this host at %(volume_path)s.'


class VolumeIdentityMismatch(BrickException):
    """A device answers, and it is another volume than the one asked for."""

    message = 'Device %(device)s is volume %(actual)s, not the expected %(expected)s.'


class VolumeInUse(BrickException):
    """Somebody else on this host holds the device, so it is not pulled."""

    message = 'Device %(device)s is in use by %(holder)s.'


class BlockDeviceReadOnly(BrickException):
    message = 'Block device %(device)s is read-only.'


class MultipathdPathsNotRemoved(BrickException):
    message = 'multipathd still has the paths %(devices)s.'


class TargetPortalNotFound(BrickException):
    message = 'Unable to find or reach target portal %(target_portal)s.'


class TargetPortalsNotFound(TargetPortalNotFound):
    message = 'Unable to find or reach any of the target portals %(target_portals)s.'


class FailedISCSITargetPortalLogin(BrickException):
    message = 'Unable to log in to any iSCSI portal of the target.'


class LoginRefused(FailedISCSITargetPortalLogin):
    """The target answered, and said no: wrong secret, unknown initiator, ..."""

    message = 'Target %(target)s at %(portal)s refused the login: %(reason)s.'


class NoFibreChannelHostsFound(BrickException):
    message = 'No Fibre Channel host bus adapter with a working port was found.'


class NoFibreChannelVolumeDeviceFound(BrickException):
    message = 'No device of the Fibre Channel volume was found.'


class VolumeGroupNotFound(BrickException):
    message = 'Volume group %(vg_name)s was not found.'


class VolumeGroupCreationFailed(BrickException):
    message = 'Volume group %(vg_name)s could not be created.'


class VolumeNotDeactivated(BrickException):
    message = 'Logical volume %(name)s was not deactivated.'


class InvalidConnectorProtocol(ValueError):
    """No connector is known for the protocol; not a BrickException (nova relies on it)."""


class ExecutionTimeout(putils.ProcessExecutionError):  # type: ignore[misc, unused-ignore]
    """A program was ended because it ran longer than it was allowed to."""


class ExceptionChainer(BrickException):
    """Collector of errors that shall not stop the work at once.

    ::

        chain = ExceptionChainer()
        for disk in disks:
            with chain.context(force, 'Removing %s failed', disk):
                remove(disk)
        if chain:
            raise chain

    It is true once it has an error. The first error is its ``__cause__``. The
    text of all tracebacks is in ``args``, so it survives being sent from the
    privileged daemon. A context has its own settings, so contexts may be nested
    or run in several threads.
    """

    message = 'No error was recorded.'

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # A second argument is there only when this object is rebuilt from its
        # own args; a text alone is no record of an error.
        rebuilt = len(args) == 2 and isinstance(args[1], int)
        super().__init__(*args[:1], **kwargs)
        self._texts: list[str] = []
        self._rebuilt = str(args[0]) if rebuilt and args[1] else ''
        if self._rebuilt:
            self.args = tuple(args)

    @property
    def count(self) -> int:
        """How many errors were recorded here."""
        return len(self._texts)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.args

    def __bool__(self) -> bool:
        return bool(self._texts or self._rebuilt)

    def __nonzero__(self) -> bool:
        return bool(self)

    def __str__(self) -> str:
        return '\n'.join([*filter(None, [self._rebuilt]), *self._texts])

    __repr__ = __str__

    def add_exception(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: types.TracebackType | None,
    ) -> None:
        """Record one error with its traceback."""
        lines = ''.join(traceback.format_exception(exc_type, exc_val, exc_tb)).rstrip()
        heading = f'Chained exception #{len(self._texts) + 1}'
        self._texts.append(f'{heading}\n{textwrap.indent(lines, chr(9))}')
        if self.__cause__ is None:
            self.__cause__ = exc_val
        self.args = (str(self), len(self._texts))

    @contextlib.contextmanager
    def context(
        self, catch_exception: bool, msg: str = '', *msg_args: Any
    ) -> Iterator['ExceptionChainer']:
        """Record an error of the block; log ``msg`` as a warning; swallow it if told to.

        ``KeyboardInterrupt`` and its kind pass through untouched.
        """
        try:
            yield self
        except Exception as error:
            self.add_exception(type(error), error, error.__traceback__)
            if msg:
                LOG.warning(msg, *msg_args)
            if not catch_exception:
                raise

    def __enter__(self) -> 'ExceptionChainer':
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: types.TracebackType | None,
    ) -> None:
        """Record an error of the block and let it go on: as ``context(False)``."""
        if isinstance(exc_val, Exception):
            self.add_exception(exc_type, exc_val, exc_tb)
