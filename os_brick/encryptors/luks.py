# SPDX-License-Identifier: Apache-2.0
"""LUKS volumes."""

from __future__ import annotations

from typing import Any, ClassVar

from oslo_concurrency import processutils
from oslo_log import log as logging

from os_brick import exception, executor
from os_brick.core import operation, wait
from os_brick.encryptors import dmcrypt, new_volume, programs
from os_brick.host import block, crypt, luks_memory
from os_brick.model import crypt_commands, luks
from os_brick.request import encryption

LOG = logging.getLogger(__name__)

_PROBE_SECONDS = 60.0
# How long the kernel may take to show the new size of a mapping.
_GROWN_SECONDS = 5.0


def is_luks(
    root_helper: str | None, device: str, execute: executor.ExecuteCallable | None = None
) -> bool:
    """Whether a device is a LUKS volume.

    No proof that it is not: a device that cannot be read is none either. What formats one looks
    for itself.

    :param execute: what runs ``cryptsetup isLuks``; by default the header is read instead.
    """
    try:
        if execute is not None:
            argv = crypt_commands.is_luks(device)
            execute(*argv, run_as_root=True, root_helper=root_helper, check_exit_code=True)
            return True
        name = block.name_of(device)
        if name is None:
            raise exception.VolumeDeviceNotFound(device=device)
        return crypt.header(name, wait.Deadline.after(_PROBE_SECONDS)) is not None
    except (processutils.ProcessExecutionError, exception.BrickException, ValueError) as error:
        LOG.warning('%s is not treated as a LUKS volume: %s', device, error)
        return False


class LuksEncryptor(dmcrypt.MappingEncryptor):
    """Decrypts LUKS volumes, and makes new ones of LUKS1."""

    _version: ClassVar[int] = 1

    def _header(
        self,
        device: str,
        passphrase: str,
        cipher: crypt_commands.Cipher,
        op: operation.Operation,
    ) -> luks.Header | None:
        found, damaged = self._read(device, op)
        if found is not None and found.has_integrity:
            raise exception.BrickException(
                f'/dev/{device} is a LUKS2 volume with integrity protection, which is two '
                'mappings on top of each other: os-brick opens only those that are one'
            )
        if found is None:
            found = self._format(device, passphrase, cipher, damaged, op)
        else:
            who = new_volume.proven(device, self._volume, op)
            luks_memory.has(luks_memory.keys(who, self._volume.volume_id), found)
        if op.settings.luks.header_backup:
            # Before it is opened: that rewrites a first header which is broken.
            crypt.keep_header(device, found, op.work)
        return found

    def _format_volume(self, passphrase: str, **kwargs: Any) -> None:
        """Make a LUKS volume of a new one; nova calls it, for volumes that QEMU decrypts.

        :raises NotLUKS: saying why it must not be formatted.
        :raises VolumeIdentityMismatch: if it is a LUKS volume already.
        """
        cipher = encryption.cipher(kwargs)
        with self._operation('format of a volume') as op:
            device = self._device()
            found, damaged = self._read(device, op)
            if found is not None:
                raise exception.VolumeIdentityMismatch(
                    device=f'/dev/{device}',
                    expected='a new volume to be formatted',
                    actual=f'the LUKS volume {found.uuid}',
                )
            self._format(device, passphrase, cipher, damaged, op)

    @staticmethod
    def _read(device: str, op: operation.Operation) -> tuple[luks.Header | None, str]:
        """The header of a device, or what is wrong with it."""
        try:
            return crypt.header(device, op.work), ''
        except luks.Damaged as error:
            return None, str(error)

    def _format(
        self,
        device: str,
        passphrase: str,
        cipher: crypt_commands.Cipher,
        damaged: str,
        op: operation.Operation,
    ) -> luks.Header:
        order = new_volume.Order(
            *(device, self._volume, self._version, cipher, passphrase, damaged)
        )
        return new_volume.make(order, self._programs(), op)

    def _open(
        self,
        device: str,
        passphrase: str,
        cipher: crypt_commands.Cipher,
        limit: wait.Deadline,
    ) -> programs.Ended:
        return self._programs().open_luks(device, self.dev_name, passphrase, limit)

    def _try(self, device: str, passphrase: str, limit: wait.Deadline) -> programs.Ended:
        return self._programs().test_luks(device, passphrase, limit)

    def extend_volume(self, context: Any, **kwargs: Any) -> int:
        """Have the decrypted content take all of the volume, which the connector has extended.

        :return: its size in bytes, as the kernel has it.
        :raises VolumeDeviceNotFound: if it is not open.
        :raises VolumeHasShrunk: if its device is smaller than what is open.
        """
        passphrase = self._get_encryption_key_as_passphrase(context)
        with self._operation('extend of an encryptor') as op:
            mapping = crypt.find(self.dev_name)
            if mapping is None or len(mapping.devices) != 1:
                raise exception.VolumeDeviceNotFound(
                    f'{crypt.path_of(self.dev_name)} is not open: attach the volume first'
                )
            self._require_over_own_device(mapping)
            try:
                header = crypt.header(mapping.devices[0], op.work)
            except luks.Damaged as error:
                raise exception.NotLUKS(device=mapping.path, why=f'it has {error}') from error
            self._require_own(mapping, mapping.devices[0], header)
            return self._grow(mapping, header, passphrase, op)

    def _grow(
        self,
        mapping: crypt.Mapping,
        header: luks.Header | None,
        passphrase: str,
        op: operation.Operation,
    ) -> int:
        device = mapping.devices[0]
        before = block.size_bytes(mapping.dm)
        size = header.mapped_bytes(block.size_bytes(device)) if header else 0
        if size < before:
            raise exception.VolumeHasShrunk(device=mapping.path, size=size, before=before)
        if size > before:
            ended = self._programs().resize(mapping, passphrase, op.work)
            self._require_opened(device, *ended)
            wait.until(
                lambda: block.size_bytes(mapping.dm) == size or None,
                op.work.within(_GROWN_SECONDS),
                f'the growth of {mapping.path} to {size} bytes',
            )
        return block.size_bytes(mapping.dm)


class Luks2Encryptor(LuksEncryptor):
    """Decrypts LUKS volumes, and makes new ones of LUKS2."""

    _version: ClassVar[int] = 2
