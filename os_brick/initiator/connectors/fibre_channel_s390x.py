# SPDX-License-Identifier: Apache-2.0
"""Fibre Channel on s390x; not written yet."""

from os_brick import initiator
from os_brick.initiator.connectors import fibre_channel


class FibreChannelConnectorS390X(fibre_channel.FibreChannelConnector):
    """The name alone."""

    platform = initiator.PLATFORM_S390
