# SPDX-License-Identifier: Apache-2.0
"""Fibre Channel; not written yet."""

from os_brick import initiator
from os_brick.initiator.connectors import unwritten


class FibreChannelConnector(unwritten.UnwrittenConnector):
    """The name alone."""

    protocol = initiator.FIBRE_CHANNEL
