# SPDX-License-Identifier: Apache-2.0
"""Fibre Channel on ppc64; not written yet."""

from os_brick import initiator
from os_brick.initiator.connectors import fibre_channel


class FibreChannelConnectorPPC64(fibre_channel.FibreChannelConnector):
    """The name alone."""

    platform = initiator.PLATFORM_PPC64
