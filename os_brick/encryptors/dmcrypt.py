# SPDX-License-Identifier: Apache-2.0
"""What LUKS and plain encryptors have in common: a mapping of dm-crypt, and our link to it."""

from __future__ import annotations

import abc
from collections.abc import Mapping
import contextlib
from typing import Any

from oslo_log import log as logging

from os_brick import exception, executor, opts
from os_brick.core import files, locks, operation, wait
from os_brick.encryptors import base, programs
from os_brick.host import block, crypt, links
from os_brick.model import crypt_commands, luks
from os_brick.privileged import rootwrap
from os_brick.request import encryption

LOG = logging.getLogger(__name__)

# How long the kernel may take to show what cryptsetup has done; it has been done by then.
_SHOWN_SECONDS = 5.0
# What a close that takes back an attach may take.
_TAKE_BACK_SECONDS = 20.0


class MappingEncryptor(base.VolumeEncryptor):
    """An encryptor whose volume is a mapping of dm-crypt.

    :ivar symlink_path: the path that the volume's user opens.
    :ivar dev_path: where that led when this object was made.
    :ivar dev_name: the name of the mapping below ``/dev/mapper``.
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
        super().__init__(root_helper, connection_info, keymgr, execute, *args, **kwargs)
        self._volume = encryption.Volume.parse(connection_info)
        self.symlink_path = self._volume.device_path
        self.dev_path = files.realpath(self.symlink_path)
        self.dev_name = self._present_name()

    def set_execute(self, execute: executor.ExecuteCallable) -> None:
        """Run programs with ``execute`` from now on."""
        super().set_execute(execute)
        self._is_ours = execute is rootwrap.execute

    def _programs(self) -> programs.Programs:
        if self._is_ours:
            return programs.AsRoot()
        return programs.ThroughExecute(self._execute, self._root_helper)

    def _present_name(self) -> str:
        """The name of the mapping: one of an older release, if there is such a mapping."""
        for name in self._volume.former_names:
            found = crypt.find(name)
            if found is not None and found.is_crypt:
                return name
        return self._volume.mapping_name

    def _operation(self, what: str) -> contextlib.AbstractContextManager[operation.Operation]:
        lock = locks.ENCRYPTION, self._volume.basename
        return operation.begin(what, self._volume, lock, opts.current())

    def attach_volume(self, context: Any, **kwargs: Any) -> None:
        """Have the volume's path lead to its decrypted content.

        :raises WrongPassphrase: if the key is not the volume's.
        :raises NotLUKS: if it is to be a LUKS volume, is not, and must not be formatted.
        :raises VolumeIdentityMismatch: if the mapping of its name is another volume's.
        :raises VolumeDeviceNotFound: if its device is not there, or cannot be read.
        """
        cipher = encryption.cipher(kwargs)
        passphrase = self._get_encryption_key_as_passphrase(context)
        with self._operation('attach of an encryptor') as op:
            self._require_link()
            device = self._device()
            header = self._header(device, passphrase, cipher, op)
            mapping = self._mapping(device, header, passphrase, cipher, op)
            self._point_link(mapping, op)

    @abc.abstractmethod
    def _header(
        self,
        device: str,
        passphrase: str,
        cipher: crypt_commands.Cipher,
        op: operation.Operation,
    ) -> luks.Header | None:
        """The header of the volume as it has to be before it can be opened; ``None`` for plain."""

    @abc.abstractmethod
    def _open(
        self,
        device: str,
        passphrase: str,
        cipher: crypt_commands.Cipher,
        limit: wait.Deadline,
    ) -> programs.Ended:
        """Decrypt it as the mapping of its name."""

    def _require_link(self) -> None:
        if not self.symlink_path.startswith(links.PREFIX):
            raise exception.InvalidParameterValue(
                err=f'device_path: {self.symlink_path} is not a link below {links.PREFIX}*, which '
                'connect_volume returns of a volume whose connection has encrypted=True: only such '
                'a path can be pointed to the decrypted content'
            )

    def _device(self) -> str:
        """The kernel's name of the volume's device, wherever the link leads now.

        :raises VolumeDeviceNotFound: if there is none.
        """
        leads = (
            links.where(self.symlink_path),
            self.symlink_path,
            links.device_of(self.symlink_path),
        )
        found = (block.name_of(each) for each in leads if each.startswith('/dev/'))
        name = next(filter(None, found), None)
        if name is None:
            raise exception.VolumeDeviceNotFound(device=self.symlink_path)
        mapping = crypt.of_device(name)
        if mapping is None or mapping.name != self.dev_name:
            return name
        # The link of an attach before this one: it leads to the content, whose device this is.
        if len(mapping.devices) != 1:
            raise exception.VolumeDeviceNotFound(device=str(mapping))
        return mapping.devices[0]

    def _mapping(
        self,
        device: str,
        header: luks.Header | None,
        passphrase: str,
        cipher: crypt_commands.Cipher,
        op: operation.Operation,
    ) -> crypt.Mapping:
        """The mapping of the volume, opened with the passphrase."""
        known = crypt.find(self.dev_name)
        if known is not None:
            self._require_own(known, device, header)
            if self._is_in_use(known, device, passphrase, op):
                return known
        uuid = header.uuid if header else ''
        op.undo.add(crypt.close_again, self.dev_name, device, uuid, _TAKE_BACK_SECONDS)
        code, words = self._open(device, passphrase, cipher, op.work)
        self._require_opened(device, code, words)
        opened = wait.until(
            lambda: crypt.find(self.dev_name), op.work.within(_SHOWN_SECONDS), self.dev_name
        )
        self._require_own(opened, device, header)
        return opened

    @staticmethod
    def _require_own(mapping: crypt.Mapping, device: str, header: luks.Header | None) -> None:
        if mapping.devices != (device,) or not mapping.is_of(header):
            raise exception.VolumeIdentityMismatch(
                device=mapping.path,
                expected=f'the decrypted content of /dev/{device}'
                + (f' with the LUKS header {header.uuid}' if header else ''),
                actual=f'{mapping}, left by another attachment; once nothing uses it, it is '
                f'removed by "cryptsetup close {mapping.name}"',
            )

    def _is_in_use(
        self, known: crypt.Mapping, device: str, passphrase: str, op: operation.Operation
    ) -> bool:
        """Whether the volume has been attached before, by this passphrase, and has a user.

        One that has no user was left by an attach that was killed. It is ended, and opened anew.
        """
        # First: a wrong passphrase must not end what another attach has opened.
        self._require_opened(device, *self._try(device, passphrase, op.work))
        try:
            self._close(known, op.work)
        except exception.VolumeInUse as error:
            LOG.info('%s is attached already: %s', self.symlink_path, error)
            return True
        return False

    def _try(self, device: str, passphrase: str, limit: wait.Deadline) -> programs.Ended:
        """Try the passphrase of a volume that is open."""
        return crypt_commands.DONE, ''

    @staticmethod
    def _require_opened(device: str, code: int, words: str) -> None:
        if code == crypt_commands.DONE:
            return
        if code == crypt_commands.NO_PERMISSION:
            raise exception.WrongPassphrase(device=f'/dev/{device}')
        if code == crypt_commands.BUSY:
            holder = ', '.join(block.users(device)) or words
            raise exception.VolumeInUse(device=f'/dev/{device}', holder=holder)
        raise exception.BrickException(
            f'cryptsetup cannot open /dev/{device}: exit code {code}, {words or "no message"}'
        )

    def _point_link(self, mapping: crypt.Mapping, op: operation.Operation) -> None:
        before = links.where(self.symlink_path)
        if before == mapping.path:
            return
        if before:
            op.undo.add(links.restore, self.symlink_path, before)
        links.restore(self.symlink_path, mapping.path)

    def _close(self, mapping: crypt.Mapping, deadline: wait.Deadline) -> None:
        run = self._programs()
        limit = deadline.within(crypt.BUSY_SECONDS)
        crypt.require_closed(mapping, lambda: run.close(mapping, deadline), limit)

    def detach_volume(self, **kwargs: Any) -> None:
        """End the mapping of the volume; one that is not there has ended already.

        :raises VolumeInUse: naming who uses it.
        :raises VolumeIdentityMismatch: if the mapping of its name is another volume's.
        """
        with self._operation('detach of an encryptor') as op:
            mapping = crypt.find(self.dev_name)
            if mapping is None:
                return
            if not mapping.is_crypt:
                LOG.warning('%s is not a mapping of dm-crypt, and is left as it is', mapping)
                return
            self._require_over_own_device(mapping)
            self._close(mapping, op.work)

    def _require_over_own_device(self, mapping: crypt.Mapping) -> None:
        """Refuse a mapping that is not over the device which our link is named after."""
        if not self.symlink_path.startswith(links.PREFIX):
            return
        device = block.name_of(links.device_of(self.symlink_path))
        if device not in (None, *mapping.devices):
            raise exception.VolumeIdentityMismatch(
                device=mapping.path,
                expected=f'the decrypted content of /dev/{device}',
                actual=str(mapping),
            )
