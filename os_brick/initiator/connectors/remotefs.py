# SPDX-License-Identifier: Apache-2.0
"""Remote file systems: NFS and its kind; not written yet."""

from os_brick import initiator
from os_brick.initiator.connectors import unwritten


class RemoteFsConnector(unwritten.UnwrittenConnector):
    """The name alone."""

    protocol = initiator.NFS
