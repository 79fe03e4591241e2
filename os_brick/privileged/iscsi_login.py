# SPDX-License-Identifier: Apache-2.0
"""A login of open-iscsi, with the record that says what the session is to be like."""

from __future__ import annotations

from os_brick import privileged
from os_brick.core import wait
from os_brick.privileged import check, iscsi_db, iscsiadm

# The caller may have given up meanwhile, and taken back what it knows of: a login is begun so long
# after the call at most. A record needs milliseconds, or a second if iscsiadm makes it; but that
# waits for the lock of its database, up to 30 s.
BEGIN_SECONDS = 5.0


@privileged.entrypoint
def log_in(
    target: str, address: str, port: int, iface: str, settings: dict[str, str], timeout: float
) -> tuple[int, str, str] | None:
    """Have a node record with settings, and log in as it says.

    The record is noted before it is made, as :func:`iscsi_db.prepare_node` does, so that
    :func:`iscsi_db.release_nodes` puts it back whatever happens in between.

    :return: what the login of iscsiadm ended with: exit code, output, errors; ``None`` if the
        record was late, and no login was begun: a caller that still wants one calls again.
    :raises BrickException: if there is no record; the login is not tried then.
    :raises ProcessExecutionError: if iscsiadm does not end; its command tells which.
    """
    ends = wait.Deadline.after(check.seconds(timeout))
    begins = ends.within(BEGIN_SECONDS)
    limit = ends.limit(iscsiadm.DATABASE_SECONDS)
    iscsi_db.prepare_node(target, address, port, iface, settings, limit)
    if begins.passed:
        return None
    return iscsiadm.login(target, address, port, iface, ends.limit(iscsiadm.LOGIN_SECONDS))
