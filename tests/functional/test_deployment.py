# SPDX-License-Identifier: Apache-2.0
"""A service as it is deployed: in a container, as a user, without udev, with nothing configured.

The public calls of services, in a process of its own.
"""

import json
import pathlib
import shutil
import sys

import pytest

from tests import breadth
from tests.functional import lab, nvme_support, support
from tests.functional.services_support import HERE, LOCKS, Service, write_config

HELPER = pathlib.Path(sys.executable).with_name('privsep-helper')
# The environment of the reference has eventlet; os_brick is found in the checkout before it.
EVENTLET = tuple(pathlib.Path(lab.bricks.REFERENCE).parents[1].glob('lib/python3*/site-packages'))
# oslo.rootwrap, put there by services/make.sh.
ROOTWRAP = pathlib.Path('/mnt/share/rootwrap')


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


@pytest.mark.leaves('wwid')
@pytest.mark.parametrize('protocol', ['ISCSI', *['NVMEOF'] * breadth.EVERYTHING])
def test_container_with_a_file_of_wwids_of_its_own(volume_of, multipathd, tmp_path, protocol):
    """The mounts of kolla, where multipathd has another ``/etc/multipath``, and makes no map of a
    WWID that is not in there: an attach waited for it until its time was over."""
    multipathd(find_multipaths='strict')
    wrapper = (str(HERE / 'container.sh'), 'kolla', str(tmp_path / 'root'))
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


USER = ('setpriv', '--reuid', 'svc', '--regid', 'storage', '--clear-groups')


@pytest.mark.parametrize(
    ('kind', 'protocol'),
    [('sudo', 'ISCSI')]
    + [('sudo', 'NVMEOF')] * breadth.EVERYTHING
    + [('rootwrap', 'ISCSI'), ('rootwrap', 'NVMEOF')] * (breadth.EVERYTHING and ROOTWRAP.exists()),
)
def test_as_a_user(volume_of, kind, protocol):
    """A user who may start the root daemon of ``os_brick.privileged.default`` and nothing else: by
    the page's line for sudoers, or by rootwrap and the shipped filter."""
    lab.shell.run(str(HERE / 'user.sh'), kind, str(HERE / 'bin'), str(HELPER))
    wrapper = f'sudo {HERE}/bin/rootwrap /etc/svc/rootwrap.conf privsep-helper'
    config = pathlib.Path('/etc/svc/service.conf')
    helper = '' if kind == 'sudo' else wrapper
    words = ('life', write_config(config, LOCKS, helper), protocol, True, 'client')
    with Service(*words, wrapper=USER) as service:
        service.live(*volume_of(protocol))


@pytest.mark.reference
def test_green_threads(shelf, locks):
    """Under eventlet, at once, each thread gets its own volume, of one target with two portals."""
    target = shelf.target('green', 2)
    volumes = [support.stamped(shelf, f'green{number}') for number in range(4)]
    for number, volume in enumerate(volumes):
        target.map(number, volume)
    everything = [target.properties(number, plural=True) for number in range(len(volumes))]
    words = ('life', '-', 'ISCSI', False, 'green-client')
    with Service(*words, site=EVENTLET, OSLO_LOCK_PATH=LOCKS) as service:
        service.say(json.dumps(everything))
        for info, volume in zip(json.loads(service.hear('attached')), volumes, strict=True):
            support.assert_is(info['path'], volume)
        service.say()
        service.hear('grown')
        service.say()
        service.hear('detached')
        service.end()
