# SPDX-License-Identifier: Apache-2.0
"""How a volume that has no LUKS header yet is given one, and when it is not."""

from __future__ import annotations

from collections.abc import Iterator
import contextlib
import dataclasses
import errno

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import locks, operation
from os_brick.encryptors import programs
from os_brick.host import blank, block, crypt, identity, luks_memory
from os_brick.model import crypt_commands, luks
from os_brick.privileged import luks_format as root
from os_brick.request import encryption

LOG = logging.getLogger(__name__)

_WRITE_SECONDS = 60.0


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    """A volume that is to become a LUKS volume.

    :ivar device: the kernel's name of its device.
    :ivar damaged: what is wrong with the header that it has; empty if it has none.
    """

    device: str
    volume: encryption.Volume
    version: int
    cipher: crypt_commands.Cipher
    passphrase: str = dataclasses.field(repr=False)
    damaged: str = ''

    @property
    def path(self) -> str:
        """The path of its device."""
        return f'/dev/{self.device}'


def make(order: Order, run: programs.Programs, op: operation.Operation) -> luks.Header:
    """Format a volume that is proven to be the one that is meant, and blank; return its header.

    :raises NotLUKS: saying why it is not formatted.
    :raises VolumeIdentityMismatch: if it is another volume by now.
    :raises VolumeInUse: if something holds it.
    """
    who = proven(order.device, order.volume, op)
    names = luks_memory.keys(who, order.volume.volume_id)
    # By all names of the volume: two links to it have two locks of their mappings.
    with locks.hold_all(locks.FORMAT, names, op.work):
        return _existing(order, names, op) or _made(order, who, names, run, op)


def _existing(order: Order, names: list[str], op: operation.Operation) -> luks.Header | None:
    """The header that another operation has made since this one has looked, or ``None``."""
    if order.damaged:
        return None
    found = crypt.header(order.device, op.work)
    if found is not None:
        luks_memory.has(names, found)
    return found


def _made(
    order: Order, who: str, names: list[str], run: programs.Programs, op: operation.Operation
) -> luks.Header:
    wanted = _wanted(order, names, op)
    _require_idle(order)
    first = blank.require(order.device, wanted, op.work)
    with _header_in_memory(order, run, op) as (token, header):
        blank.wait_apart(first, op.work)
        if proven(order.device, order.volume, op) != who:
            raise exception.VolumeIdentityMismatch(
                device=order.path, expected=who, actual='another volume'
            )
        before = luks_memory.begin(names, header, root.marks(token))
        _write(token, order, before, wanted, first, op)
    luks_memory.has(names, header)
    LOG.info('%s was blank, and is the LUKS volume %s now', order.path, header.uuid)
    return _confirmed(order, header, op)


def proven(device: str, volume: encryption.Volume, op: operation.Operation) -> str:
    """The identity of a volume as it reports it now; empty where it has none.

    :raises VolumeIdentityMismatch: if it is not the one that the caller names.
    """
    found = identity.prove(device, op.work)
    wanted = volume.multipath_id.lower()
    if wanted and found.startswith('wwid-') and found != f'wwid-{wanted}':
        raise exception.VolumeIdentityMismatch(
            device=f'/dev/{device}',
            expected=f'multipath_id {volume.multipath_id}',
            actual=found.removeprefix('wwid-'),
        )
    return found


def _wanted(order: Order, names: list[str], op: operation.Operation) -> blank.Wanted:
    """What the device has to be, by what is remembered of it and what is configured."""
    memory = luks_memory.recall(names)
    if memory.header and not op.settings.luks.format_again:
        raise exception.NotLUKS(
            device=order.path,
            why=f'this host has seen LUKS header {memory.header} on this volume; that it is not '
            'there now is a fault of the path or of the array until proven otherwise. [os_brick] '
            'luks_format_again = true has it formatted all the same, and all that is on it is lost',
        )
    if order.damaged and not memory.formatting:
        raise exception.NotLUKS(device=order.path, why=f'it has {order.damaged}')
    is_blank = op.settings.luks.format == 'blank'
    return blank.Wanted(is_blank, memory.areas, memory.formatting)


def _require_idle(order: Order) -> None:
    users = block.users(order.device)
    if users:
        raise exception.VolumeInUse(device=order.path, holder=', '.join(users))


@contextlib.contextmanager
def _header_in_memory(
    order: Order, run: programs.Programs, op: operation.Operation
) -> Iterator[tuple[str, luks.Header]]:
    """A new header in the memory of the daemon, during the block: its token, and what it says."""
    token = root.new_token()
    try:
        path = root.new_header(token)
        code, words = run.make_header(
            programs.NewHeader(token, path, order.device, order.version, order.cipher),
            order.passphrase,
            op.work,
        )
        if code != crypt_commands.DONE:
            raise exception.BrickException(
                f'cryptsetup cannot make a LUKS{order.version} header for {order.path}, which is '
                f'as it was: exit code {code}, {words or "no message"}'
            )
        yield token, luks.Header.of_dict(root.show_header(token))
    finally:
        root.drop_header(token)


def _write(
    token: str,
    order: Order,
    before: luks_memory.Before,
    wanted: blank.Wanted,
    first: blank.Look,
    op: operation.Operation,
) -> None:
    """Write the header to the device, which is looked at once more in the same act."""
    number, limit = block.inode(order.device), op.work.limit(_WRITE_SECONDS)
    places = tuple(wanted.besides)
    try:
        found, known, digest = root.write_header(
            token, order.device, number, places, wanted.blank, first.digest, limit
        )
        blank.refuse(order.device, wanted, found, known)
        if digest != first.digest:
            raise exception.NotLUKS(
                device=order.path, why='what is on it has changed between two looks at it'
            )
    except exception.NotLUKS:
        luks_memory.restore(before)  # Nothing was written.
        raise
    except OSError as error:
        if error.errno == errno.EBUSY:
            holder = ', '.join(block.users(order.device)) or 'a process that has claimed it'
            raise exception.VolumeInUse(device=order.path, holder=holder) from error
        raise exception.BrickException(
            f'No LUKS header can be written to {order.path}: {error}'
        ) from error


def _confirmed(order: Order, header: luks.Header, op: operation.Operation) -> luks.Header:
    """The header as the device has it."""
    found = crypt.header(order.device, op.work)
    if found is None or found.uuid != header.uuid:
        raise exception.VolumeIdentityMismatch(
            device=order.path,
            expected=f'the LUKS header {header.uuid}, which has just been written',
            actual=f'the LUKS header {found.uuid}' if found else 'no LUKS header',
        )
    return found
