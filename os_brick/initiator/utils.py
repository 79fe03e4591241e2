# SPDX-License-Identifier: Apache-2.0
"""The guard that callers put around attach and detach of volumes with shared targets."""

from collections.abc import Iterator
import contextlib
import sys
from typing import Any

from oslo_concurrency import lockutils

from os_brick.core import files, locks

_ISCSIADM = '/sbin/iscsiadm'
_SETTING = b'node.session.scan'
_NAME = 'ISCSI_SUPPORTS_MANUAL_SCAN'


def check_manual_scan() -> bool:
    """Whether this host's open-iscsi can be told not to scan a target by itself.

    If it can, the name of the setting stands in the program.
    """
    try:
        return _SETTING in files.read_bytes(_ISCSIADM)
    except OSError:
        return False


def __getattr__(name: str) -> Any:
    """Answer ``ISCSI_SUPPORTS_MANUAL_SCAN``, found out when it is first asked for."""
    if name != _NAME:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    found = globals()[_NAME] = check_manual_scan()
    return found


@contextlib.contextmanager
def guard_connection(device: Any) -> Iterator[None]:
    """Keep others from attaching and detaching volumes of a shared target meanwhile.

    :param device: a volume; its ``shared_targets`` is None if the back end does not
        know, and it has a ``service_uuid`` then.
    """
    shared = device.get('shared_targets', False)
    # Read as an attribute of the module, which a connector or a test may set.
    if shared is False or (shared and getattr(sys.modules[__name__], _NAME)):
        yield
        return
    # The name of the file is one that other releases on this host wait for.
    with lockutils.lock(
        device['service_uuid'], locks.PREFIX, external=True, lock_path=locks.directory()
    ):
        yield
