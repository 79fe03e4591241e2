# SPDX-License-Identifier: Apache-2.0
"""Stands in for the iSCSI connector until it is written."""

from os_brick import initiator
from os_brick.initiator.connectors import unwritten


class ISCSIConnector(unwritten.UnwrittenConnector):
    """The name alone."""

    protocol = initiator.ISCSI
