# SPDX-License-Identifier: Apache-2.0
"""Names of protocols and platforms, as callers spell them."""

import re

DEVICE_SCAN_ATTEMPTS_DEFAULT = 3

# A line of multipath-tools' log among its output: 'Jan 01 12:30:00 | ...'.
MULTIPATH_ERROR_REGEX = re.compile(r'\w{3} \d+ \d\d:\d\d:\d\d \|.*$')
MULTIPATH_PATH_CHECK_REGEX = re.compile(r'\s+\d+:\d+:\d+:\d+\s+')

PLATFORM_ALL = 'ALL'
PLATFORM_x86 = 'X86'
PLATFORM_S390 = 'S390'
PLATFORM_PPC64 = 'PPC64'
OS_TYPE_ALL = 'ALL'
OS_TYPE_LINUX = 'LINUX'

# Machines as platform.machine() calls them.
S390X = 's390x'
S390 = 's390'
PPC64 = 'ppc64'
PPC64LE = 'ppc64le'

ISCSI = 'ISCSI'
ISER = 'ISER'
FIBRE_CHANNEL = 'FIBRE_CHANNEL'
NFS = 'NFS'
SMBFS = 'SMBFS'
GLUSTERFS = 'GLUSTERFS'
LOCAL = 'LOCAL'
HUAWEISDSHYPERVISOR = 'HUAWEISDSHYPERVISOR'
RBD = 'RBD'
SCALEIO = 'SCALEIO'
SCALITY = 'SCALITY'
QUOBYTE = 'QUOBYTE'
VZSTORAGE = 'VZSTORAGE'
VMDK = 'VMDK'
GPFS = 'GPFS'
STORPOOL = 'STORPOOL'
NVME = 'NVME'
NVMEOF = 'NVMEOF'
LIGHTOS = 'LIGHTOS'
