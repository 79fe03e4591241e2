# SPDX-License-Identifier: Apache-2.0
"""VMware's virtual disks; not written yet."""

from os_brick import initiator
from os_brick.initiator.connectors import unwritten


class VmdkConnector(unwritten.UnwrittenConnector):
    """The name alone."""

    protocol = initiator.VMDK
