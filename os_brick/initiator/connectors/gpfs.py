# SPDX-License-Identifier: Apache-2.0
"""Files of IBM's GPFS; not written yet."""

from os_brick import initiator
from os_brick.initiator.connectors import unwritten


class GPFSConnector(unwritten.UnwrittenConnector):
    """The name alone."""

    protocol = initiator.GPFS
