# SPDX-License-Identifier: Apache-2.0
"""Fibre Channel volumes on IBM Z."""

from os_brick import initiator
from os_brick.host import fc_zfcp
from os_brick.initiator.connectors import fibre_channel


class FibreChannelConnectorS390X(fibre_channel.FibreChannelConnector):
    """The same, with the units of the zfcp driver where the kernel does not scan by itself."""

    platform = initiator.PLATFORM_S390
    fibre_channel_platform = fc_zfcp.S390X
