# SPDX-License-Identifier: Apache-2.0
"""Volumes of IBM Storage Scale (GPFS), which every node of its cluster has."""

from os_brick.initiator.connectors import base_local


class GPFSConnector(base_local.LocalBaseConnector):
    """Volumes on a file system that this host has mounted."""

    kind = 'gpfs'
