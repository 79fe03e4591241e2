# SPDX-License-Identifier: Apache-2.0
"""The dictionary that callers of connect_volume know."""

from os_brick.request import result


def test_one_disk() -> None:
    found = result.Attached('/dev/sda', '36001').as_dict()
    assert found == {'type': 'block', 'path': '/dev/sda', 'scsi_wwn': '36001'}


def test_a_map() -> None:
    found = result.Attached('/dev/dm-0', '36001', is_multipath=True).as_dict()
    assert found == {
        'type': 'block',
        'path': '/dev/dm-0',
        'scsi_wwn': '36001',
        'multipath_id': '36001',
    }
