# SPDX-License-Identifier: Apache-2.0
"""Huawei's SDS hypervisor; not written yet."""

from os_brick import initiator
from os_brick.initiator.connectors import unwritten


class HuaweiStorHyperConnector(unwritten.UnwrittenConnector):
    """The name alone."""

    protocol = initiator.HUAWEISDSHYPERVISOR
