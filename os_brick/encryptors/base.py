# SPDX-License-Identifier: Apache-2.0
"""What every encryptor has: a key manager, and the key of one volume."""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any

from os_brick import executor
from os_brick.request import encryption


class VolumeEncryptor(executor.Executor, abc.ABC):
    """Decrypts one volume on this host; the connector has attached it before.

    Nothing secret is kept on it: the passphrase is asked of the key manager for each operation.
    """

    def __init__(
        self,
        root_helper: str | None,
        connection_info: Mapping[str, Any],
        keymgr: Any,
        execute: executor.ExecuteCallable | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(root_helper, execute, *args, **kwargs)
        self._key_manager = keymgr
        self.encryption_key_id = kwargs.get('encryption_key_id')

    def _get_key(self, context: Any) -> Any:
        """The managed object of the key manager."""
        return self._key_manager.get(context, self.encryption_key_id)

    def _get_encryption_key_as_passphrase(self, context: Any) -> str:
        return encryption.passphrase(self._get_key(context), self.encryption_key_id)

    @abc.abstractmethod
    def attach_volume(self, context: Any, **kwargs: Any) -> None:
        """Have the volume's path lead to its decrypted content."""

    @abc.abstractmethod
    def detach_volume(self, **kwargs: Any) -> None:
        """End that; the connector detaches the volume afterwards."""

    @abc.abstractmethod
    def extend_volume(self, context: Any, **kwargs: Any) -> int | None:
        """Have the decrypted content take all of the volume; return its size in bytes."""
