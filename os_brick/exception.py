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
    │   │   │   └── PathNotReady
    │   │   ├── VolumePathsNotFound
    │   │   ├── VolumePathNotRemoved
    │   │   ├── VolumeIdentityMismatch
    │   │   ├── VolumeHasShrunk
    │   │   ├── VolumeInUse
    │   │   ├── BlockDeviceReadOnly
    │   │   └── MultipathdPathsNotRemoved
    │   ├── the paths to it
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
    │   └── ExceptionChainer          several errors of one operation
    ├── ValueError
    │   └── InvalidConnectorProtocol
    └── oslo_concurrency.processutils.ProcessExecutionError
        └── ExecutionTimeout

An error carries its facts as attributes: ``error.device``, ``error.holder``, ``error.seconds``.
Each class declares its own; one that was not given is ``None``. oslo.privsep sends an error
as ``cls(*args)`` of simple values: :meth:`BrickException.portable_args` has the facts in it, so
that they arrive with the error.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
import contextlib
import textwrap
import traceback
import types
from typing import Any, ClassVar

from oslo_concurrency import processutils as putils
from oslo_log import log as logging

LOG = logging.getLogger(__name__)

# A list in a text: more than this does not help a reader, and 3,000 portals make a text
# of half a megabyte, which goes into logs and over RPC.
MOST_ITEMS = 8
LONGEST_TEXT = 8192

_PLAIN = str | int | float | bool | bytes | None


def listed(items: Iterable[object], separator: str = ', ') -> str:
    """Return the texts of a list for a message; of a long one the first few and how many more."""
    texts = [str(item) for item in items]
    more = len(texts) - MOST_ITEMS
    if more > 1:
        texts[MOST_ITEMS:] = [f'and {more} more']
    return separator.join(texts)


def _cut(text: str) -> str:
    if len(text) <= LONGEST_TEXT:
        return text
    return f'{text[:LONGEST_TEXT]} [... {len(text) - LONGEST_TEXT} more characters]'


def _in_words(value: object) -> object:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Collection):
        return value
    return listed(value)


class BrickException(Exception):
    """Base of the errors of this library: a template and the facts that fill it.

    Catch it to catch all of them. A ``message`` given to the constructor is used as it is. Keywords
    that do not fit the template never raise: the bare template becomes the text.

    :ivar msg: the text.
    :ivar kwargs: the facts as they were given, and ``code``.
    """

    message: ClassVar[str] = 'An unknown exception occurred.'
    code: ClassVar[int] = 500
    headers: ClassVar[dict[str, str]] = {}
    safe: ClassVar[bool] = False
    #: Names of the attributes that this class sets from its keywords.
    facts: ClassVar[tuple[str, ...]] = ()
    #: Sentences that follow the template if their keyword is given.
    also: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Collect the facts that a class declares: its annotations without a value."""
        super().__init_subclass__(**kwargs)
        own = [name for name in vars(cls).get('__annotations__', ()) if not hasattr(cls, name)]
        cls.facts = (*cls.facts, *own)

    def __init__(self, message: object = None, *sent: Mapping[str, Any], **kwargs: Any) -> None:
        given = {key: value for facts in sent for key, value in facts.items()} | kwargs
        self.kwargs: dict[str, Any] = {'code': self.code, **given}
        for name in self.facts:
            setattr(self, name, given.get(name))
        self.msg: str = _cut(str(message) if message else self._filled())
        super().__init__(self.msg)

    def _filled(self) -> str:
        words = {key: _in_words(value) for key, value in self.kwargs.items()}
        more = ''.join(text for key, text in self.also.items() if words.get(key))
        try:
            return (self.message + more) % words
        except (KeyError, TypeError, ValueError) as error:
            # The names only: a value may be a secret.
            LOG.error(
                'The text of %s cannot be made from the keywords %s: %r',
                type(self).__name__,
                ', '.join(sorted(self.kwargs)),
                error,
            )
            return self.message

    def portable_args(self) -> tuple[Any, ...]:
        """Return the arguments that rebuild this error in another process, facts included."""
        facts = {
            key: value if isinstance(value, _PLAIN) else str(_in_words(value))
            for key, value in self.kwargs.items()
            if key != 'code'
        }
        return (self.msg, facts) if facts else self.args


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


class OperationTimedOut(BrickException):
    """A time limit has passed: that of the operation, or the shorter one of one of its steps.

    The text says what was waited for. For a lock: another operation on the same volume is
    under way; wait for it and try again. For anything else: look for the cause there (a path that
    is down, a daemon that hangs). ``[os_brick] operation_timeout`` is the limit of the whole.

    :ivar what: what was waited for.
    :ivar seconds: the limit.
    """

    what: str | None
    seconds: float | None
    message = 'Timed out after %(seconds)s s waiting for %(what)s.'


class CommandExecutionFailed(BrickException):
    """A program failed. Its output is in the log, at debug level."""

    cmd: str | None
    message = 'Command %(cmd)s failed.'


class InvalidIOHandleObject(BrickException):
    """The object passed as an open volume is not one of this protocol. A bug of the caller."""

    protocol: str | None
    actual_type: object
    message = 'The I/O handle of protocol %(protocol)s has the wrong type %(actual_type)s.'


class VolumeDriverException(BrickException):
    """A storage driver failed. Kept for callers that raise or catch it."""

    name: str | None
    message = 'Volume driver %(name)s failed.'


class VolumeDeviceNotFound(BrickException):
    """The device of a volume does not appear, or cannot be read or written.

    Usually the array has not mapped the volume to this host's name, or the device is there and
    all its paths are down. What the attach had made is taken back.

    :ivar device: where it was expected.
    """

    device: str | None
    message = 'Volume device not found at %(device)s.'


class VolumeHasShrunk(BrickException):
    """A volume is smaller on its array than its device on this host, which stays as it is.

    Its user may have written beyond the new end. Detach it and attach it again to use it with its
    new size.

    :ivar device: the device on this host.
    :ivar size: the volume's size now, in bytes.
    :ivar before: the size of its device, in bytes.
    """

    device: str | None
    size: int | None
    before: int | None
    message = 'Device %(device)s has %(before)s bytes, and its volume has %(size)s bytes now.'


class PathNotReady(VolumeDeviceNotFound):
    """The disk of a path is there and cannot be used yet: it has no capacity, or is blocked.

    So are the paths of a port that is in ALUA's state *unavailable*, and those of a volume that the
    array is still making ready. Another try succeeds once the array has changed that.

    :ivar device: the disk.
    :ivar why: what it reports, or the kernel's state of it.
    """

    why: str | None
    message = 'Device %(device)s is not ready: %(why)s.'


class VolumePathsNotFound(BrickException):
    """Extend of a volume that is not attached to this host, or of which no path answers."""

    message = 'No path of the volume was found on this host.'


class VolumePathNotRemoved(BrickException):
    """The kernel did not remove disks of a volume in time. Detach again.

    :ivar volume_path: the disks, each with the reason where there is one.
    """

    volume_path: object
    message = 'The kernel has not removed %(volume_path)s. Detach the volume again.'


class VolumeIdentityMismatch(BrickException):
    """A device reports another identity than the volume that was asked for.

    Find out on the array which volume is right before anything is forced: what is written through
    the wrong one is lost. Nothing was written by this library.

    :ivar device: the device that was asked.
    :ivar expected: the identity wanted.
    :ivar actual: the identity reported.
    :ivar holder: what on this host uses the device, if that keeps it from being removed.
    """

    device: str | None
    expected: str | None
    actual: str | None
    holder: str | None
    message = 'Device %(device)s: expected %(expected)s, found %(actual)s.'
    also = {'holder': ' It cannot be replaced while it is in use by: %(holder)s.'}


class VolumeInUse(BrickException):
    """Something on this host holds the device, so it is not removed or overwritten.

    Release it (unmount, deactivate, stop the process), then try again.

    :ivar device: the device.
    :ivar holder: what holds it.
    """

    device: str | None
    holder: str | None
    message = 'Device %(device)s is in use by: %(holder)s. Release it, then try again.'


class BlockDeviceReadOnly(BrickException):
    """A device stays read-only although it is to be written to. Look at the array's mapping."""

    device: str | None
    message = 'Block device %(device)s is read-only.'


class MultipathdPathsNotRemoved(BrickException):
    """multipathd did not forget the disks of a volume in time. Detach again.

    :ivar devices: the disks.
    """

    devices: object
    message = 'multipathd still has the paths %(devices)s. Detach the volume again.'


class TargetPortalNotFound(BrickException):
    """Discovery failed, or the portal does not report the target.

    Look at the network, and at the array's configuration for this host.

    :ivar target_portal: the portal that was asked.
    """

    target_portal: str | None
    message = 'Unable to find or reach target portal %(target_portal)s.'


class TargetPortalsNotFound(TargetPortalNotFound):
    """Discovery failed at every portal. Look at the network between this host and the array.

    :ivar target_portals: the portals that were asked.
    """

    target_portals: object
    message = 'Unable to find or reach any of the target portals %(target_portals)s.'


class FailedISCSITargetPortalLogin(BrickException):
    """No portal of the target let this host log in; the text has a reason for each.

    No route, a refused connection, a time-out, or an exit code of iscsiadm: look at the network.
    """

    message = 'Unable to log in to any iSCSI portal of the target.'


class LoginRefused(FailedISCSITargetPortalLogin):
    """The target answered and rejected the login: wrong secret, unknown initiator, no such target.

    Look at the array's configuration for this host. Trying again does not help.

    :ivar target: the name of the target.
    :ivar portal: where it was asked.
    :ivar reason: what it answered.
    """

    target: str | None
    portal: object
    reason: str | None
    message = 'Target %(target)s at %(portal)s refused the login: %(reason)s.'


class NoFibreChannelHostsFound(BrickException):
    """This host has no Fibre Channel port. Look at its adapters and their drivers."""

    message = 'No Fibre Channel host bus adapter with a working port was found.'


class NoFibreChannelVolumeDeviceFound(BrickException):
    """No disk of a Fibre Channel volume appears.

    Usually the array has not mapped the volume to this host's ports, or no port of this host is
    zoned with one of the array.
    """

    message = 'No device of the Fibre Channel volume was found.'


class VolumeGroupNotFound(BrickException):
    """LVM knows no volume group of this name. Create it, or mend the configuration."""

    vg_name: str | None
    message = 'Volume group %(vg_name)s was not found.'


class VolumeGroupCreationFailed(BrickException):
    """LVM could not create a volume group. Its output is in the log."""

    vg_name: str | None
    message = 'Volume group %(vg_name)s could not be created.'


class VolumeNotDeactivated(BrickException):
    """A logical volume is still active after its deactivation. Something has it open."""

    name: str | None
    message = 'Logical volume %(name)s was not deactivated.'


class InvalidConnectorProtocol(ValueError):
    """This machine has no connector of that name; the text lists those it has.

    A ``ValueError`` and not a :class:`BrickException`: nova catches it as that.
    """


class ExecutionTimeout(putils.ProcessExecutionError):  # type: ignore[misc, unused-ignore]
    """A program was killed because it did not end within its time limit.

    It hangs, or what it waits for does. The description has the limit.
    """


class ExceptionChainer(BrickException):
    """Several errors, collected by work that goes on after an error; raised by a forced detach.

    Its text has all of them with their tracebacks; the first one comes first and is usually the
    cause of the others.

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
        # own args; a text alone does not record an error.
        rebuilt = len(args) == 2 and isinstance(args[1], int)
        super().__init__(*args[:1], **kwargs)
        self._texts: list[str] = []
        self._rebuilt = str(args[0]) if rebuilt and args[1] else ''
        if self._rebuilt:
            self.args = tuple(args)

    def portable_args(self) -> tuple[Any, ...]:
        """Return ``args``: they rebuild this error as they are."""
        return self.args

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
