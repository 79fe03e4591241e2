# SPDX-License-Identifier: Apache-2.0
"""Volumes that are encrypted without a header; deprecated, because nothing on them tells so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from oslo_log import log as logging
from oslo_log import versionutils

from os_brick import exception, executor
from os_brick.core import operation, wait
from os_brick.encryptors import dmcrypt, programs
from os_brick.host import crypt
from os_brick.model import crypt_commands, luks

LOG = logging.getLogger(__name__)


class CryptsetupEncryptor(dmcrypt.MappingEncryptor):
    """Decrypts plain dm-crypt volumes."""

    def __init__(
        self,
        root_helper: str | None,
        connection_info: Mapping[str, Any],
        keymgr: Any,
        execute: executor.ExecuteCallable | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(root_helper, connection_info, keymgr, execute, *args, **kwargs)
        versionutils.report_deprecated_feature(
            cast(Any, LOG),
            'The encryption provider "plain" is deprecated: use "luks2" for new volume types',
        )

    def _header(
        self,
        device: str,
        passphrase: str,
        cipher: crypt_commands.Cipher,
        op: operation.Operation,
    ) -> luks.Header | None:
        try:
            found: object = crypt.header(device, op.work)
        except luks.Damaged as error:
            found = error
        if found is not None:
            raise exception.VolumeIdentityMismatch(
                device=f'/dev/{device}',
                expected='a volume that is encrypted without a header',
                actual='a LUKS header, which would be overwritten',
            )
        return None

    def _open(
        self,
        device: str,
        passphrase: str,
        cipher: crypt_commands.Cipher,
        limit: wait.Deadline,
    ) -> programs.Ended:
        return self._programs().open_plain(device, self.dev_name, passphrase, cipher, limit)

    def extend_volume(self, context: Any, **kwargs: Any) -> int | None:
        """Refuse: plain volumes are not extended.

        :raises NotImplementedError: always.
        """
        raise NotImplementedError
