# SPDX-License-Identifier: Apache-2.0
"""The encryptor of volumes that are not encrypted on this host."""

from __future__ import annotations

from typing import Any

from os_brick.encryptors import base


class NoOpEncryptor(base.VolumeEncryptor):
    """Does nothing: the volume is used as it is."""

    def attach_volume(self, context: Any, **kwargs: Any) -> None:
        """Do nothing."""

    def detach_volume(self, **kwargs: Any) -> None:
        """Do nothing."""

    def extend_volume(self, context: Any, **kwargs: Any) -> None:
        """Do nothing."""
