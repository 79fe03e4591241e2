# SPDX-License-Identifier: Apache-2.0
"""Volumes that are on this host already; not written yet."""

from os_brick import initiator
from os_brick.initiator.connectors import unwritten


class LocalConnector(unwritten.UnwrittenConnector):
    """The name alone."""

    protocol = initiator.LOCAL
