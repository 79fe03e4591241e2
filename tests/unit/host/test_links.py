# SPDX-License-Identifier: Apache-2.0
"""Names of our links: those of older releases are read as ever, and none is ambiguous."""

from hypothesis import given
from hypothesis import strategies as st
import pytest

from os_brick.host import links


@pytest.mark.parametrize(
    ('device', 'link'),
    [
        ('/dev/sda', '/dev/disk/by-id/os-brick+dev+sda'),
        ('/dev/md/alias', '/dev/disk/by-id/os-brick+dev+md+alias'),
        ('/dev/a=b', '/dev/disk/by-id/os-brick+dev+a=b'),
        ('/dev/a+b=c', '/dev/disk/by-id/os-brick=+dev+a=2bb=3dc'),
    ],
)
def test_names(device: str, link: str) -> None:
    assert links.name_for(device) == link
    assert links.device_of(link) == device


@given(st.text('/ab+=23bd.', min_size=1))
def test_each_path_survives_being_a_link(tail: str) -> None:
    device = f'/{tail}'
    link = links.name_for(device)
    assert '/' not in link.removeprefix('/dev/disk/by-id/')
    assert links.device_of(link) == device


@pytest.mark.parametrize('path', ['/dev/sda', '', '/dev/disk/by-id/scsi-3600'])
def test_what_is_no_link_of_ours_stays(path: str) -> None:
    assert links.device_of(path) == path
