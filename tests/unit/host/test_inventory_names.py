# SPDX-License-Identifier: Apache-2.0
"""What libvirt's guests and targets tell of a volume's ID."""

import pathlib

import pytest

from os_brick.core import files
from os_brick.host import inventory_look, inventory_names

ID = '8f0c2a4e-6d0b-4c31-9a55-3f0f5b0e7d11'
GUEST = f"""<domstatus state='running' pid='4711'><domain type='kvm'>
<name>instance-0000002a</name><devices>
<disk type='block' device='disk'><source dev='/dev/dm-4'/><serial>{ID}</serial></disk>
<disk type='file' device='disk'><source file='/mnt/a/volume-x'/><serial>two</serial></disk>
<disk type='file' device='cdrom'/>
</devices></domain></domstatus>"""


@pytest.mark.parametrize(
    ('text', 'found'),
    [
        (f'iqn.2010-10.org.openstack:volume-{ID}', ID),
        (f'nqn.2014-08.org.nvmexpress:VOLUME-{ID.upper()}', ID),
        ('iqn.2010-10.org.openstack:volume-gold', ''),
        ('', ''),
    ],
)
def test_names_of_targets(text: str, found: str) -> None:
    name = inventory_names.of_text(text)
    assert (name.volume_id if name else '') == found


def test_guests(tmp_path: pathlib.Path) -> None:
    place = tmp_path / 'run/libvirt/qemu'
    place.mkdir(parents=True)
    (place / 'instance-0000002a.xml').write_text(GUEST)
    (place / 'broken.xml').write_text('<domain')
    (place / 'other.pid').write_text('7')
    with files.use(str(tmp_path)):
        look = inventory_look.Look()
        found = inventory_names.of_guests(look)
    assert {key: (name.volume_id, name.text) for key, name in found.items()} == {
        'dm-4': (ID, 'instance-0000002a'),
        '/mnt/a/volume-x': ('two', 'instance-0000002a'),
    }
    [unread] = look.unread
    assert unread.what == '/run/libvirt/qemu/broken.xml'
