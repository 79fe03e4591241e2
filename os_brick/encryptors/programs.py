# SPDX-License-Identifier: Apache-2.0
"""How ``cryptsetup`` is run: by root functions, or by the callable that the caller passes.

Both run the same command lines (:mod:`os_brick.model.crypt_commands`). What needs no program, such
as reading a header or moving a link, is done by root functions in either case.
"""

from __future__ import annotations

from collections.abc import Callable
import dataclasses
from typing import Any, Protocol

from oslo_concurrency import processutils

from os_brick.core import wait
from os_brick.host import block, crypt
from os_brick.model import crypt_commands
from os_brick.privileged import cryptsetup as root
from os_brick.privileged import luks_format as root_format

Ended = root.Ended


@dataclasses.dataclass(frozen=True, slots=True)
class NewHeader:
    """A header that is to be made.

    :ivar token: its name in the memory of the daemon.
    :ivar path: where other programs find it.
    :ivar device: the device whose header it is to be.
    """

    token: str
    path: str
    device: str
    version: int
    cipher: crypt_commands.Cipher


class Programs(Protocol):
    """The acts of cryptsetup; each returns an exit code and what was printed."""

    def open_luks(self, device: str, name: str, passphrase: str, limit: wait.Deadline) -> Ended:
        """Decrypt a LUKS volume."""

    def test_luks(self, device: str, passphrase: str, limit: wait.Deadline) -> Ended:
        """Try a passphrase."""

    def open_plain(
        self,
        device: str,
        name: str,
        passphrase: str,
        cipher: crypt_commands.Cipher,
        limit: wait.Deadline,
    ) -> Ended:
        """Decrypt a volume without a header."""

    def close(self, mapping: crypt.Mapping, limit: wait.Deadline) -> Ended:
        """End a mapping."""

    def resize(self, mapping: crypt.Mapping, passphrase: str, limit: wait.Deadline) -> Ended:
        """Have a mapping take all of its device."""

    def make_header(self, header: NewHeader, passphrase: str, limit: wait.Deadline) -> Ended:
        """Make the header of a new LUKS volume, not on its device."""


class AsRoot:
    """By a root function for each act."""

    def open_luks(self, device: str, name: str, passphrase: str, limit: wait.Deadline) -> Ended:
        """Decrypt a LUKS volume."""
        return root.open_luks(device, block.inode(device), name, passphrase, limit.limit())

    def test_luks(self, device: str, passphrase: str, limit: wait.Deadline) -> Ended:
        """Try a passphrase."""
        return root.test_luks(device, block.inode(device), passphrase, limit.limit())

    def open_plain(
        self,
        device: str,
        name: str,
        passphrase: str,
        cipher: crypt_commands.Cipher,
        limit: wait.Deadline,
    ) -> Ended:
        """Decrypt a volume without a header."""
        how = cipher.name, cipher.key_bits
        return root.open_plain(device, block.inode(device), name, passphrase, *how, limit.limit())

    def close(self, mapping: crypt.Mapping, limit: wait.Deadline) -> Ended:
        """End a mapping."""
        return root.close(mapping.name, mapping.dm, limit.limit())

    def resize(self, mapping: crypt.Mapping, passphrase: str, limit: wait.Deadline) -> Ended:
        """Have a mapping take all of its device."""
        return root.resize(mapping.name, mapping.dm, passphrase, limit.limit())

    def make_header(self, header: NewHeader, passphrase: str, limit: wait.Deadline) -> Ended:
        """Make the header of a new LUKS volume, not on its device."""
        number, how = block.inode(header.device), (header.cipher.name, header.cipher.key_bits)
        return root_format.make_header(
            *(header.token, header.device, number, header.version, passphrase, *how),
            limit.limit(),
        )


class ThroughExecute:
    """By a callable of the caller's, with the keywords of oslo.concurrency's ``execute``."""

    def __init__(self, execute: Callable[..., Any], root_helper: str | None) -> None:
        self._execute = execute
        self._root_helper = root_helper

    def _run(
        self, argv: tuple[str, ...], limit: wait.Deadline, passphrase: str | None = None
    ) -> Ended:
        given = {} if passphrase is None else {'process_input': passphrase}
        try:
            self._execute(
                *argv,
                run_as_root=True,
                root_helper=self._root_helper,
                check_exit_code=True,
                timeout=limit.limit(),
                **given,
            )
        except processutils.ProcessExecutionError as error:
            if not isinstance(error.exit_code, int) or error.exit_code < 0:
                raise
            return error.exit_code, ' '.join(str(error.stderr or '').split())
        return crypt_commands.DONE, ''

    def open_luks(self, device: str, name: str, passphrase: str, limit: wait.Deadline) -> Ended:
        """Decrypt a LUKS volume."""
        return self._run(crypt_commands.open_luks(f'/dev/{device}', name), limit, passphrase)

    def test_luks(self, device: str, passphrase: str, limit: wait.Deadline) -> Ended:
        """Try a passphrase."""
        return self._run(crypt_commands.test_luks(f'/dev/{device}'), limit, passphrase)

    def open_plain(
        self,
        device: str,
        name: str,
        passphrase: str,
        cipher: crypt_commands.Cipher,
        limit: wait.Deadline,
    ) -> Ended:
        """Decrypt a volume without a header."""
        argv = crypt_commands.open_plain(f'/dev/{device}', name, cipher)
        return self._run(argv, limit, passphrase)

    def close(self, mapping: crypt.Mapping, limit: wait.Deadline) -> Ended:
        """End a mapping."""
        return self._run(crypt_commands.close(mapping.name), limit)

    def resize(self, mapping: crypt.Mapping, passphrase: str, limit: wait.Deadline) -> Ended:
        """Have a mapping take all of its device."""
        return self._run(crypt_commands.resize(mapping.name), limit, passphrase)

    def make_header(self, header: NewHeader, passphrase: str, limit: wait.Deadline) -> Ended:
        """Make the header of a new LUKS volume, not on its device."""
        argv = crypt_commands.format_luks(
            f'/dev/{header.device}',
            header.version,
            header.cipher,
            header.path,
            root_format.DATA_OFFSETS[header.version],
        )
        return self._run(argv, limit, passphrase)
