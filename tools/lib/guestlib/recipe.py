# SPDX-License-Identifier: Apache-2.0
"""What is in the image. Everything here is part of its key: a changed recipe is a new image."""

import hashlib
import pathlib

SUITE = 'trixie'
PYTHON = '3.13'  # the Python of that suite
IMAGE_SIZE = '6G'  # sparse

PACKAGES = (
    'systemd',  # systemd-udevd only: the guest boots without an init system
    'udev',
    'linux-image-amd64',
    'initramfs-tools',  # satisfies the kernel's dependency; our own initrd is made by image.py
    'busybox-static',
    'kmod',
    'util-linux',
    'procps',
    'strace',
    'open-iscsi',
    'multipath-tools',
    'kpartx',
    'sg3-utils',
    'lsscsi',
    'nvme-cli',
    'ktls-utils',  # tlshd, which does the handshakes of NVMe over TLS
    'mdadm',
    'cryptsetup-bin',
    'lvm2',
    'thin-provisioning-tools',
    'nfs-kernel-server',
    'nfs-common',
    'ceph-mon',  # one monitor and one OSD are enough for RBD; no manager, no `ceph` orchestration
    'ceph-osd',
    'ceph-common',
    'python3-rbd',
    'python3-rados',
    'rdma-core',
    'ibverbs-providers',
    'iproute2',
    'iptables',
    'nftables',
    'netbase',
    'e2fsprogs',
    'python3',
    'python3-pip-whl',  # pip as one file: installs the two environments below
)

# Not from requirements.txt: a new lower bound there should not cost every developer a new image.
OS_BRICK_ENV = (
    'oslo.concurrency',
    'oslo.privsep',
    'oslo.log',
    'oslo.utils',
    'oslo.config',
    'tenacity',
    'pbr',
    'pytest',
    'hypothesis',
)
# Run as a black box for comparison, never read.
REFERENCE_ENV = ('os-brick==7.1.1',)

# Not unpacked: half of what Ceph would add, and nothing here starts them.
EXCLUDED = (
    *('/usr/share/man/*', '/usr/share/doc/*', '/usr/share/locale/*'),
    *('/usr/bin/radosgw-admin', '/usr/bin/ceph-syn', '/usr/bin/ceph-*-tool', '/usr/bin/cephfs-*'),
)

# The distribution's modules that both environments see: pip has no librados and no librbd.
DISTRIBUTION_MODULES = ('rados', 'rbd')

ENVIRONMENTS = {'/opt/os-brick': OS_BRICK_ENV, '/opt/reference': REFERENCE_ENV}
CHECKOUT = '/opt/checkout'
VERSION = '7.2.0'  # what a checkout without installed metadata calls itself in the guest

# What the initrd needs to find the root disk and the share; their dependencies are added.
INITRD_MODULES = (
    'virtio_pci',
    'virtio_blk',
    'crc32c_generic',
    'crc32c-intel',
    'crc32c',
    'ext4',
    '9pnet_virtio',
    '9p',
    'virtio_rng',
    'virtio_console',
)


def key() -> str:
    """The short name of the image that this recipe makes."""
    here = pathlib.Path(__file__).parent
    names = ('recipe.py', 'image.py', 'initrd.py', 'metadata.py', 'inside/initrd-init')
    return f'{SUITE}-{digest([here / name for name in names])}'


def digest(files: list[pathlib.Path]) -> str:
    """A short name for what these files say."""
    content = hashlib.sha256()
    for path in files:
        if path.is_file():
            content.update(path.read_bytes())
    return content.hexdigest()[:12]
