# SPDX-License-Identifier: Apache-2.0
"""StorPool; not written yet."""

from os_brick import initiator
from os_brick.initiator.connectors import unwritten


class StorPoolConnector(unwritten.UnwrittenConnector):
    """The name alone."""

    protocol = initiator.STORPOOL
