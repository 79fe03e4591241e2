# SPDX-License-Identifier: Apache-2.0
"""The dictionary that callers of connect_volume know, for each kind of volume."""

import io
import typing

import pytest

from os_brick.request import result

HANDLE = io.BytesIO()

# What is returned | the dictionary, with exactly these keys
TABLE = [
    (
        result.BlockDevice('/dev/sda', '36001'),
        {'type': 'block', 'path': '/dev/sda', 'scsi_wwn': '36001'},
    ),
    (
        result.BlockDevice('/dev/dm-0', '36001', is_multipath=True),
        {'type': 'block', 'path': '/dev/dm-0', 'scsi_wwn': '36001', 'multipath_id': '36001'},
    ),
    # A logical unit without a name: the key is there all the same, as in 7.1.1.
    (result.BlockDevice('/dev/sda', ''), {'type': 'block', 'path': '/dev/sda', 'scsi_wwn': ''}),
    # NVMe has no such key.
    (result.BlockDevice('/dev/nvme0n1'), {'type': 'block', 'path': '/dev/nvme0n1'}),
    (result.BlockDevice('/dev/x', kind='local'), {'type': 'local', 'path': '/dev/x'}),
    (result.Handle(HANDLE), {'path': HANDLE}),
    (result.Share('/mnt/1/volume-1'), {'path': '/mnt/1/volume-1'}),
    (result.LocalCopy('/tmp/x.vmdk', 7.5), {'path': '/tmp/x.vmdk', 'last_modified': 7.5}),
    (
        result.LocalCopy('/tmp/x.vmdk', 7.5, '1000:0'),
        {'path': '/tmp/x.vmdk', 'last_modified': 7.5, 'disk_address': '1000:0'},
    ),
]


@pytest.mark.parametrize(('found', 'expected'), TABLE)
def test_as_dict(found: result.Attached, expected: dict[str, object]) -> None:
    assert found.as_dict() == expected


def test_every_kind_is_in_the_table() -> None:
    assert {type(found) for found, _ in TABLE} == set(typing.get_args(result.Attached))
