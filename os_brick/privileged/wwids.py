# SPDX-License-Identifier: Apache-2.0
"""multipath's file of known WWIDs (``/etc/multipath/wwids``, a line ``/WWID/`` each).

With ``find_multipaths`` set to ``yes`` or ``strict`` multipathd takes a first path only if its
WWID is listed there; ``multipath -a`` and ``multipath -w`` are the programs for it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os

from os_brick import privileged
from os_brick.core import files, process
from os_brick.privileged import check

FILE = '/etc/multipath/wwids'
# multipath's tools hold their lock for milliseconds.
_LOCK_SECONDS = 5.0


@privileged.entrypoint
def add(wwid: str) -> bool:
    """Make a WWID known; returns whether it was not before.

    :raises OperationTimedOut: if another program keeps the file locked.
    :raises OSError: if the file cannot be written.
    """
    check.wwid(wwid)
    return process.isolated(f'an entry in {FILE}', _LOCK_SECONDS, _change, wwid, present=True)


@privileged.entrypoint
def remove(wwid: str) -> bool:
    """Forget a WWID; returns whether it was known.

    :raises OperationTimedOut: if another program keeps the file locked.
    :raises OSError: if the file cannot be written.
    """
    check.wwid(wwid)
    return process.isolated(f'an entry in {FILE}', _LOCK_SECONDS, _change, wwid, present=False)


def _change(wwid: str, *, present: bool) -> bool:
    if not present and not files.exists(FILE):
        return False
    with contextlib.suppress(FileExistsError):
        os.mkdir(files.real(os.path.dirname(FILE)), 0o755)
    descriptor = os.open(files.real(FILE), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, 'r+') as file:
        fcntl.lockf(file, fcntl.LOCK_EX)  # The lock that multipath's tools take.
        lines = file.read().splitlines()
        entry = f'/{wwid}/'
        if (entry in lines) == present:
            return False
        lines = [*lines, entry] if present else [line for line in lines if line != entry]
        file.seek(0)
        file.write(''.join(f'{line}\n' for line in lines))
        file.truncate()
        file.flush()
        os.fsync(file.fileno())
    return True
