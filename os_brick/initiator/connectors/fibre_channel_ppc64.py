# SPDX-License-Identifier: Apache-2.0
"""Fibre Channel volumes on POWER."""

from os_brick import initiator
from os_brick.host import fc_platform
from os_brick.initiator.connectors import fibre_channel


class FibreChannelConnectorPPC64(fibre_channel.FibreChannelConnector):
    """The same, where udev names the disks of virtual adapters by their port alone."""

    platform = initiator.PLATFORM_PPC64
    fibre_channel_platform = fc_platform.PPC64
