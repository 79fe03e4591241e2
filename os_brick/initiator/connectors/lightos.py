# SPDX-License-Identifier: Apache-2.0
"""LightOS; not written yet."""

from os_brick import initiator
from os_brick.initiator.connectors import unwritten


class LightOSConnector(unwritten.UnwrittenConnector):
    """The name alone."""

    protocol = initiator.LIGHTOS
