# SPDX-License-Identifier: Apache-2.0
"""NVMe over fabrics; not written yet."""

from os_brick import initiator
from os_brick.initiator.connectors import unwritten


class NVMeOFConnector(unwritten.UnwrittenConnector):
    """The name alone."""

    protocol = initiator.NVMEOF
