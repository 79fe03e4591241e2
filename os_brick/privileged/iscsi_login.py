# SPDX-License-Identifier: Apache-2.0
"""A login of open-iscsi, with the record that says what the session is to be like."""

from __future__ import annotations

from os_brick import privileged
from os_brick.core import wait
from os_brick.privileged import check, iscsi_db, iscsiadm


@privileged.entrypoint
def log_in(
    target: str, address: str, port: int, iface: str, settings: dict[str, str], timeout: float
) -> tuple[int, str, str]:
    """Have a node record with settings, and log in as it says.

    The record is noted before it is made, as :func:`iscsi_db.prepare_node` does, so that
    :func:`iscsi_db.release_nodes` puts it back whatever happens in between.

    :return: what the login of iscsiadm ended with: exit code, output, errors.
    :raises BrickException: if there is no record; the login is not tried then.
    :raises ProcessExecutionError: if iscsiadm does not end; its command tells which.
    """
    ends = wait.Deadline.after(check.seconds(timeout))
    limit = ends.limit(iscsiadm.DATABASE_SECONDS)
    iscsi_db.prepare_node(target, address, port, iface, settings, limit)
    return iscsiadm.login(target, address, port, iface, ends.limit(iscsiadm.LOGIN_SECONDS))
