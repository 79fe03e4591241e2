# SPDX-License-Identifier: Apache-2.0
"""A PowerFlex volume that Cinder has mapped: a loop device under the name of Dell's udev rule.

The gateway is a double in the unit tests; here are the kernel's device, the root daemon and a user.
"""

from collections.abc import Iterator
import os
import pathlib
import threading

import pytest

from os_brick import exception
from os_brick.initiator.connectors import scaleio
from tests.functional import lab

VOLUME = 'bec108c400000018'
LINK = pathlib.Path(f'/dev/disk/by-id/emc-vol-610204d03e3ad60f-{VOLUME}')
PROPS = {
    'scaleIO_volname': 'gold',
    'scaleIO_volume_id': VOLUME,
    'sdc_guid': '9e56672f-2f4b-4a42-bff4-88b6846fbfda',
}
IMAGE = pathlib.Path('/dev/shm/lab-powerflex')


@pytest.fixture
def device() -> Iterator[str]:
    """The device of the volume; its link is for the test to make."""
    with IMAGE.open('wb') as image:
        image.truncate(16 * lab.loops.MEBI)
    path = lab.loops.attach(IMAGE)
    LINK.parent.mkdir(parents=True, exist_ok=True)
    yield path
    LINK.unlink(missing_ok=True)
    lab.loops.detach(path)
    IMAGE.unlink()


def test_a_volume_that_appears_is_used_and_is_left_to_cinder(device: str) -> None:
    """Attach waits for the device; detach refuses a user, and writes back."""
    connector = scaleio.ScaleIOConnector(None)
    timer = threading.Timer(0.5, LINK.symlink_to, args=(device,))
    timer.start()
    info = connector.connect_volume(PROPS)
    timer.join()
    assert info == {'type': 'block', 'path': str(LINK)}
    with open(info['path'], 'r+b') as user:
        user.write(b'gold')
        user.flush()
        with pytest.raises(exception.VolumeInUse, match=str(os.getpid())):
            connector.disconnect_volume(PROPS, info)
    connector.disconnect_volume(PROPS, info)
    assert IMAGE.read_bytes()[:4] == b'gold'
    assert connector.get_volume_paths(PROPS) == [str(LINK)]
    # Cinder unmaps it: the device goes, and a second detach has nothing to do.
    LINK.unlink()
    connector.disconnect_volume(PROPS, info)
    assert connector.get_volume_paths(PROPS) == []
