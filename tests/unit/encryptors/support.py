# SPDX-License-Identifier: Apache-2.0
"""A key manager, and encrypted volumes on the fake host."""

from typing import Any

from os_brick import encryptors
from os_brick.encryptors import dmcrypt
from tests.unit.fakehost import contents, cryptsetup
from tests.unit.fakehost.host import Host

SIZE = contents.SIZE
PASSPHRASE = 'correct horse\nbattery'
WRONG = 'wrong staple'
ENCRYPTION = {
    'control_location': 'front-end',
    'provider': 'luks',
    'cipher': 'aes-xts-plain64',
    'key_size': 256,
    'encryption_key_id': 'key-1',
}


class Key:
    """castellan's managed object."""

    def __init__(self, text: str) -> None:
        self._text = text

    def managed_type(self) -> str:
        return 'passphrase'

    def get_encoded(self) -> bytes:
        return self._text.encode()


class KeyManager:
    """castellan's key manager."""

    def __init__(self, passphrase: str = PASSPHRASE) -> None:
        self.passphrase = passphrase

    def get(self, context: Any, key_id: str) -> Key:
        assert key_id == 'key-1'
        return Key(self.passphrase)


def link_to(host: Host, device: str) -> str:
    """The link that a connector returns of an encrypted volume."""
    link = f'/dev/disk/by-id/os-brick+dev+{device}'
    host.tree.at(link).unlink(missing_ok=True)
    host.tree.at(link).symlink_to(f'/dev/{device}')
    return link


def connection(path: str, **data: Any) -> dict[str, Any]:
    return {
        'driver_volume_type': 'iscsi',
        'serial': 'volume-1',
        'data': {'device_path': path, 'encrypted': True, **data},
    }


def encryptor(
    path: str, provider: str = 'luks', passphrase: str = PASSPHRASE, **more: Any
) -> dmcrypt.MappingEncryptor:
    """The encryptor that a service gets."""
    found = encryptors.get_volume_encryptor(
        root_helper=None,
        keymgr=KeyManager(passphrase),
        connection_info=connection(path, **more.pop('data', {})),
        **{**ENCRYPTION, 'provider': provider, **more},
    )
    assert isinstance(found, dmcrypt.MappingEncryptor)
    return found


class World:
    """A host with one device, sdx, and its link."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.crypt = cryptsetup.Cryptsetup(host)
        self.crypt.device('sdx', SIZE >> 20)
        self.link = link_to(host, 'sdx')
        self.name = 'crypt-os-brick+dev+sdx'

    def where(self) -> str:
        return str(self.host.tree.at(self.link).readlink())

    def state(self) -> tuple[dict[str, str], str]:
        """All there is on the host but for what it remembers, and on the device."""
        tree = self.host.snapshot()
        kept = {path: text for path, text in tree.items() if not path.startswith('/var/lib/os-b')}
        return kept, self.crypt.digest('sdx')
