# SPDX-License-Identifier: Apache-2.0
"""cinder-volume around an attach, by cinder's own functions, patched by eventlet.

Usage: cinder_volume.py CONFIG_FILE PROTOCOL MULTIPATH, with the connection's data as JSON on stdin.
With ``encrypted`` in the data, the volume is decrypted as for an image that is copied to it.
"""

import json
import os
import sys

import eventlet

eventlet.monkey_patch()

from cinder import context  # noqa: E402
from cinder.common import config  # noqa: E402, F401
from cinder.volume import volume_utils  # noqa: E402
from oslo_config import cfg  # noqa: E402
from oslo_log import log  # noqa: E402

import os_brick  # noqa: E402

ENCRYPTION = {
    'provider': 'luks',
    'control_location': 'front-end',
    'cipher': 'aes-xts-plain64',
    'key_size': 256,
    'encryption_key_id': '00000000-0000-0000-0000-000000000000',
}


def main():
    path, protocol, multipath = sys.argv[1:4]
    log.register_options(cfg.CONF)
    cfg.CONF([], project='cinder', default_config_files=[path])
    log.setup(cfg.CONF, 'cinder')
    os_brick.setup(cfg.CONF)
    use_multipath = multipath == 'True'
    data = json.loads(sys.stdin.readline())
    answer = volume_utils.brick_get_connector_properties(use_multipath, False)
    assert answer['multipath'] == use_multipath
    json.dumps(answer)
    conn = {'driver_volume_type': protocol, 'data': data, 'serial': 'volume-1'}
    connector = volume_utils.brick_get_connector(
        protocol, use_multipath=use_multipath, device_scan_attempts=3, conn=conn
    )
    device = connector.connect_volume(conn['data'])
    info = {'conn': conn, 'device': device, 'connector': connector}
    assert connector.check_valid_device(device['path'], True)
    user = context.get_admin_context()
    if data.get('encrypted'):
        volume_utils.brick_attach_volume_encryptor(user, info, ENCRYPTION)
    say('attached', device['path'])
    sys.stdin.readline()
    if data.get('encrypted'):
        volume_utils.brick_detach_volume_encryptor(info, ENCRYPTION)
    say('grown', connector.extend_volume(data))
    sys.stdin.readline()
    connector.disconnect_volume(data, device, force=False, ignore_errors=False)
    say('detached', os.path.lexists(device['path']))


def say(*words):
    sys.stdout.write(' '.join(map(str, words)) + '\n')
    sys.stdout.flush()


if __name__ == '__main__':
    main()
