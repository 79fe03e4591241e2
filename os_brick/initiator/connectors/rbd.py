# SPDX-License-Identifier: Apache-2.0
"""Ceph's block devices; not written yet."""

from os_brick import initiator
from os_brick.initiator.connectors import unwritten


class RBDConnector(unwritten.UnwrittenConnector):
    """The name alone."""

    protocol = initiator.RBD
