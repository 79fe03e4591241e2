# SPDX-License-Identifier: Apache-2.0
"""Block devices of this host as volumes."""

from os_brick.initiator.connectors import base_local


class LocalConnector(base_local.LocalBaseConnector):
    """Volumes that are block devices of this host."""

    kind = 'local'
