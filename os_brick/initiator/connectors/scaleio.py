# SPDX-License-Identifier: Apache-2.0
"""Dell PowerFlex, once ScaleIO; not written yet."""

from os_brick import initiator
from os_brick.initiator.connectors import unwritten


class ScaleIOConnector(unwritten.UnwrittenConnector):
    """The name alone."""

    protocol = initiator.SCALEIO
