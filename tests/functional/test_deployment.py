# SPDX-License-Identifier: Apache-2.0
"""A service as it is deployed: in a container, without udev, with nothing configured.

The public calls of services, in a process of its own.
"""

import pathlib
import shutil

import pytest

from tests import breadth
from tests.functional import lab, nvme_support, support
from tests.functional.services_support import HERE, LOCKS, Service, write_config


@pytest.fixture
def locks():
    """The lock directory of the pages, as its first user makes it; gone afterwards."""
    yield LOCKS
    shutil.rmtree(LOCKS, ignore_errors=True)


@pytest.fixture
def volume_of(shelf, locks):
    """Makes a volume of a protocol: properties, what checks its device, what grows it."""

    def make(protocol):
        if protocol == 'ISCSI':
            volume = support.stamped(shelf, 'deployed')
            target = shelf.target('deployed', 2)
            target.map(1, volume)
            props = target.properties(1, plural=True)
        else:
            volume, subsystem = nvme_support.served(shelf, 'deployed', 2)
            props = subsystem.properties(1)
        return props, lambda path: support.assert_is(path, volume), volume.grow

    return make


@pytest.mark.parametrize(
    ('kind', 'protocol'),
    [('page', 'ISCSI')]
    + [(kind, protocol) for kind in ('page', 'bare') for protocol in ('ISCSI', 'NVMEOF')]
    * breadth.EVERYTHING,
)
def test_container_with_nothing_configured(volume_of, tmp_path, kind, protocol):
    """The mounts that the page names, and these without udev: the service sees the host's kernel,
    iscsid and multipathd. It is root, has no configuration file and no sudo; its lock
    directory is in the environment."""
    pathlib.Path(LOCKS).mkdir(parents=True, exist_ok=True)
    wrapper = (str(HERE / 'container.sh'), kind, str(tmp_path / 'root'))
    words = ('life', '-', protocol, True, 'client')
    with Service(*words, wrapper=wrapper, OSLO_LOCK_PATH=LOCKS) as service:
        service.live(*volume_of(protocol))


@pytest.mark.parametrize('protocol', ['ISCSI', *['NVMEOF'] * breadth.EVERYTHING])
def test_udev_does_not_answer(volume_of, tmp_path, protocol):
    """udevd handles no event: no link is made, and the volume is found by its identity."""
    config = write_config(tmp_path / 'service.conf', LOCKS)
    lab.shell.run('udevadm', 'control', '--stop-exec-queue')
    try:
        with Service('life', config, protocol, False, 'client') as service:
            service.live(*volume_of(protocol))
    finally:
        lab.shell.run('udevadm', 'control', '--start-exec-queue')
