# SPDX-License-Identifier: Apache-2.0
"""cinderlib in one process, as root, patched by eventlet: a logical volume behind LIO, attached.

Usage: cinderlib_lvm.py GROUP ADDRESS DIRECTORY
"""

import os
import pathlib
import sys

import eventlet

eventlet.monkey_patch()

import cinderlib  # noqa: E402

GIGABYTE = 1 << 30
BLOCK = 4096


def main():
    group, address, directory = sys.argv[1:4]
    cinderlib.setup(file_locks_path=directory, disable_logs=False, my_ip=address)
    backend = cinderlib.Backend(
        volume_backend_name='lvm',
        volume_driver='cinder.volume.drivers.lvm.LVMVolumeDriver',
        volume_group=group,
        target_protocol='iscsi',
        target_helper='lioadm',
        target_ip_address=address,
        lvm_type='default',
        # It would be written to RAM.
        volume_clear='none',
    )
    volume = backend.create_volume(1, name='gold')
    try:
        attachment = volume.attach()
        path = attachment.path
        with open(path, 'r+b', buffering=0) as file:
            file.write(b'written through the volume'.ljust(BLOCK, b'.'))
            os.fsync(file.fileno())
        say('attached', path)
        sys.stdin.readline()
        volume.extend(2)
        block = pathlib.Path('/sys/class/block') / os.path.basename(os.path.realpath(path))
        size = int((block / 'size').read_text())
        say('grown', size * 512)
        sys.stdin.readline()
        volume.detach()
        say('detached', os.path.lexists(path))
    finally:
        if volume.local_attach:
            volume.detach()
        volume.delete()


def say(*words):
    sys.stdout.write(' '.join(map(str, words)) + '\n')
    sys.stdout.flush()


if __name__ == '__main__':
    main()
