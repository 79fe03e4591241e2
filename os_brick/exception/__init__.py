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
    │   ├── HostNotReady
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
    │   ├── servers
    │   │   └── StorageServerError
    │   │       └── StorageServerUnreachable
    │   │           └── StorageServerNotTrusted
    │   ├── encryption
    │   │   ├── NotLUKS
    │   │   └── WrongPassphrase
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

from typing import TYPE_CHECKING

from os_brick.exception.base import (
    LONGEST_TEXT,
    MOST_ITEMS,
    BrickException,
    listed,
)
from os_brick.exception.chain import (
    ExceptionChainer,
)
from os_brick.exception.encryption import (
    NotLUKS,
    WrongPassphrase,
)
from os_brick.exception.paths import (
    FailedISCSITargetPortalLogin,
    LoginRefused,
    NoFibreChannelHostsFound,
    NoFibreChannelVolumeDeviceFound,
    TargetPortalNotFound,
    TargetPortalsNotFound,
)
from os_brick.exception.program import (
    CommandExecutionFailed,
    HostNotReady,
    OperationTimedOut,
    VolumeDriverException,
    VolumeGroupCreationFailed,
    VolumeGroupNotFound,
    VolumeNotDeactivated,
)
from os_brick.exception.request import (
    Invalid,
    InvalidConnectorProtocol,
    InvalidIOHandleObject,
    InvalidParameterValue,
    NotFound,
    ProtocolNotSupported,
    VolumeEncryptionNotSupported,
    VolumeLocalCacheNotSupported,
)
from os_brick.exception.server import (
    StorageServerError,
    StorageServerNotTrusted,
    StorageServerUnreachable,
)
from os_brick.exception.volume import (
    BlockDeviceReadOnly,
    MultipathdPathsNotRemoved,
    PathNotReady,
    VolumeDeviceNotFound,
    VolumeHasShrunk,
    VolumeIdentityMismatch,
    VolumeInUse,
    VolumePathNotRemoved,
    VolumePathsNotFound,
)

if TYPE_CHECKING:
    from os_brick.exception.execution import ExecutionTimeout

# In the order of the tree: that of the reference page.
__all__ = [  # noqa: RUF022
    'BrickException',
    'NotFound',
    'Invalid',
    'InvalidParameterValue',
    'VolumeEncryptionNotSupported',
    'VolumeLocalCacheNotSupported',
    'ProtocolNotSupported',
    'OperationTimedOut',
    'HostNotReady',
    'CommandExecutionFailed',
    'InvalidIOHandleObject',
    'VolumeDriverException',
    'VolumeDeviceNotFound',
    'PathNotReady',
    'VolumePathsNotFound',
    'VolumePathNotRemoved',
    'VolumeIdentityMismatch',
    'VolumeHasShrunk',
    'VolumeInUse',
    'BlockDeviceReadOnly',
    'MultipathdPathsNotRemoved',
    'TargetPortalNotFound',
    'TargetPortalsNotFound',
    'FailedISCSITargetPortalLogin',
    'LoginRefused',
    'NoFibreChannelHostsFound',
    'NoFibreChannelVolumeDeviceFound',
    'StorageServerError',
    'StorageServerUnreachable',
    'StorageServerNotTrusted',
    'NotLUKS',
    'WrongPassphrase',
    'VolumeGroupNotFound',
    'VolumeGroupCreationFailed',
    'VolumeNotDeactivated',
    'ExceptionChainer',
    'InvalidConnectorProtocol',
    'ExecutionTimeout',
    'LONGEST_TEXT',
    'MOST_ITEMS',
    'listed',
]

# This module is their name, whatever file they stand in: tracebacks show it, and privsep and RPC
# send an error under it.
for _name in __all__:
    if isinstance(globals().get(_name), type):
        globals()[_name].__module__ = __name__

if not TYPE_CHECKING:  # A type checker would take every name for one of this module.

    def __getattr__(name: str) -> type[Exception]:
        """Answer the one error whose library is not loaded before it is asked for."""
        if name != 'ExecutionTimeout':
            raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
        from os_brick.exception import execution  # Not before it is asked for.

        found = execution.ExecutionTimeout
        found.__module__ = __name__
        globals()[name] = found
        return found
