# SPDX-License-Identifier: Apache-2.0
"""Whether somebody listens at a TCP portal; what is said to him then is each protocol's own."""

from __future__ import annotations

import socket

# A handshake in a data centre takes a millisecond; this long covers one lost packet (the first
# SYN is sent again after 1 s).
REACH_SECONDS = 3.0


def why_unreachable(
    address: str, port: int, seconds: float = REACH_SECONDS, *, source: str = ''
) -> str | None:
    """Why no TCP connection comes about within so many seconds, or ``None`` if one does.

    :param source: the address of this host to come from; empty for any.
    """
    own = (source, 0) if source else None
    try:
        socket.create_connection((address, port), timeout=seconds, source_address=own).close()
    except OSError as error:
        return str(error) or type(error).__name__
    return None
