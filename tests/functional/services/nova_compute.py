# SPDX-License-Identifier: Apache-2.0
"""nova-compute around its volumes, by nova's own functions.

Usage: nova_compute.py CONFIG_FILE PROTOCOL PROVIDER, with the data of two connections as JSON on
stdin, which come to the same instance one after the other. PROVIDER encrypts them; ``-``: no one.
OS_NOVA_DISABLE_EVENTLET_PATCHING in the environment leaves the process unpatched. libvirt, Cinder's
API and nova's database are doubles: one more instance on this host has the first volume.
"""

import json
import os
import sys
import types

from nova import monkey_patch

monkey_patch.patch()

# libvirt's bindings are none of the environment; no function of theirs is called here.
sys.modules['libvirt'] = types.ModuleType('libvirt')
sys.modules['libvirt'].libvirtError = type('libvirtError', (Exception,), {})

from nova import config, context, objects  # noqa: E402
from nova.compute import power_state  # noqa: E402
import nova.conf  # noqa: E402
from nova.virt.libvirt import driver  # noqa: E402
from oslo_concurrency import lockutils  # noqa: E402, F401

import os_brick  # noqa: E402
from os_brick.initiator import utils  # noqa: E402

INSTANCES = ['instance-1', 'instance-2']


class Disk:
    """A disk of a guest: the driver's words to QEMU are kept."""

    def __init__(self):
        self._disk = 'vdb'
        self.size = 0
        self.copied = ''

    def resize(self, size, **_more):
        self.size = size

    def copy(self, xml, **_more):
        self.copied = xml

    def abort_job(self, **_more):
        """No job is left."""

    def is_job_complete(self):
        return True


class Guest:
    """A guest that runs, with one disk."""

    def __init__(self):
        self.disk = Disk()

    def get_power_state(self, _host):
        return power_state.RUNNING

    def get_block_device(self, _path):
        return self.disk

    def get_disk(self, name):
        return name

    def get_xml_desc(self, **_more):
        return ''

    def has_persistent_configuration(self):
        return False


class Host:
    """libvirt, for one guest and its secrets."""

    def __init__(self):
        self.guest = Guest()
        self.secrets = {}

    def get_guest(self, _instance):
        return self.guest

    def write_instance_config(self, _xml):
        """Nothing is kept."""

    def find_secret(self, _kind, volume_id):
        return self.secrets.get(volume_id)

    def create_secret(self, _kind, volume_id, password):
        self.secrets[volume_id] = types.SimpleNamespace(UUIDString=lambda: password[:8])

    def delete_secret(self, _kind, volume_id):
        del self.secrets[volume_id]


class Cinder:
    """Cinder's API: who has which volume, and how volumes are encrypted."""

    def __init__(self, provider):
        self.servers = list(INSTANCES)
        self.encryption = {}
        if provider != '-':
            self.encryption = {
                'provider': provider,
                'control_location': 'front-end',
                'cipher': 'aes-xts-plain64',
                'key_size': 256,
                'encryption_key_id': '00000000-0000-0000-0000-000000000000',
            }

    def get(self, _context, _volume_id):
        return {'attachments': {server: {} for server in self.servers}}

    def get_volume_encryption_metadata(self, _context, _volume_id):
        return self.encryption


def compute(provider):
    """nova's driver for libvirt as far as volumes go."""
    found = driver.LibvirtDriver.__new__(driver.LibvirtDriver)
    found._host = Host()
    found._volume_api = Cinder(provider)
    found.volume_drivers = {}
    found._disk_cachemode = None
    found.disk_cachemodes = {}
    objects.InstanceList.get_uuids_by_host = lambda _context, _host: INSTANCES
    return found


def connection(protocol, data, number):
    """What Cinder's API answers, and nova's table of block devices keeps."""
    return {
        'driver_volume_type': protocol,
        'data': {**data, 'volume_id': data.get('volume_id', f'volume-{number}')},
        'serial': f'volume-{number}',
        # Cinder refuses it of an encrypted volume.
        'multiattach': number == 0 and not data.get('encrypted'),
    }


def main():
    path, protocol, provider = sys.argv[1:4]
    config.parse_args(['nova-compute', '--config-file', path], configure_db=False, init_rpc=False)
    objects.register_all()
    patched = 'OS_NOVA_DISABLE_EVENTLET_PATCHING' not in os.environ
    assert monkey_patch.is_patched() == patched
    os_brick.setup(nova.conf.CONF)
    user = context.get_admin_context()
    instance = types.SimpleNamespace(uuid=INSTANCES[0], host='here', name='guest')
    nova_compute = compute(provider)
    json.dumps(nova_compute.get_volume_connector(instance))
    both = json.loads(sys.stdin.readline())
    old, new = (connection(protocol, data, number) for number, data in enumerate(both))
    volume = {'shared_targets': None, 'service_uuid': '5c32d3a6-7f4b-4c9b-9f0e-2f6a6f3d1b11'}
    disk = nova_compute._host.guest.disk

    with utils.guard_connection(volume):
        nova_compute._connect_volume(user, old, instance)
    if old['multiattach']:
        second = connection(protocol, both[0], 0)
        with utils.guard_connection(volume):
            nova_compute._connect_volume(user, second, instance)
        assert second == old
    say('attached', old['data']['device_path'])
    sys.stdin.readline()
    if provider == 'luks':  # nova asks qemu-img for more
        disk.size = nova_compute._extend_volume(old, instance, 0)
    else:
        nova_compute.extend_volume(user, old, instance, 0)
    say('grown', disk.size)
    sys.stdin.readline()
    if old['multiattach']:
        # The first instance lets go of it; nova leaves it to the other one.
        with utils.guard_connection(volume):
            nova_compute._disconnect_volume(user, second, instance)
        nova_compute._volume_api.servers.pop()
    say('kept', os.path.exists(old['data']['device_path']))
    sys.stdin.readline()
    if provider == '-':
        nova_compute.swap_volume(user, old, new, instance, '/dev/vdb', 0)
        assert new['data']['device_path'] in disk.copied
    else:  # nova swaps no volume that QEMU decrypts
        nova_compute._connect_volume(user, new, instance)
        nova_compute._disconnect_volume(user, old, instance)
    say('swapped', new['data']['device_path'])
    sys.stdin.readline()
    with utils.guard_connection(volume):
        nova_compute._disconnect_volume(user, new, instance)
    assert not nova_compute._host.secrets
    say('detached', os.path.lexists(new['data']['device_path']))


def say(*words):
    sys.stdout.write(' '.join(map(str, words)) + '\n')
    sys.stdout.flush()


if __name__ == '__main__':
    main()
