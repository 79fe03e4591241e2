# SPDX-License-Identifier: Apache-2.0
"""What cannot be read is not gone: which errors say that there is nothing, and which say nothing.

All others (EIO, EACCES, ELOOP, ESTALE, EMFILE, ...) are errors of the look, not facts of the host:
a disk whose holders cannot be listed may be in use.
"""

from __future__ import annotations

from collections.abc import Callable
import errno
import os

# There is no such file, or what it was of has gone: kernfs answers ENODEV once a device goes, /proc
# ESRCH once a process has ended. Nothing has a name that is too long.
NO_FILE = frozenset(
    {
        errno.ENOENT,
        errno.ENOTDIR,
        errno.ENODEV,
        errno.ENXIO,
        errno.ESRCH,
        errno.ENAMETOOLONG,
    }
)
# The same, or there is no value now. Of a live device: EINVAL where it has none (VPD pages;
# dm_attr_show of a map that goes), ENOTCONN of the address of an iSCSI connection without a socket
# (iscsi_sw_tcp_conn_get_param), EBUSY of an array that goes (md_attr_show). Linux 6.1.
# A directory in a file's place (EISDIR) has been looked at: it has no text.
NO_VALUE = NO_FILE | {
    errno.EINVAL,
    errno.ENODATA,
    errno.EOPNOTSUPP,
    errno.ENOTCONN,
    errno.EBUSY,
    errno.EISDIR,
}


# To a user who is not root files are closed by design (/etc, hidepid, a service's SELinux domain):
# there is nothing for them there, and what matters is looked at by their privileged daemon.
_CLOSED = frozenset({errno.EACCES, errno.EPERM})


def require(error: OSError, path: str, absent: frozenset[int] = NO_FILE) -> None:
    """Return if an error of a look at a path says that nothing is there, for this user.

    :raises OSError: if it does not; its text names the path, as privsep carries no more.
    """
    is_closed = error.errno in _CLOSED and os.geteuid() != 0
    if error.errno not in absent and not is_closed:
        raise OSError(error.errno, f'{path} cannot be read: {error.strerror}') from error


def found(look: Callable[[str], os.stat_result], real: str, path: str) -> os.stat_result | None:
    """What ``os.stat`` or ``os.lstat`` tells of a file; ``None`` where there is none.

    :param real: where ``path`` lies for the operating system.
    :raises OSError: if it cannot be told.
    """
    try:
        return look(real)
    except ValueError:  # Nothing has a name with a null byte.
        return None
    except OSError as error:
        require(error, path)
        return None
