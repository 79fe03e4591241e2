# SPDX-License-Identifier: Apache-2.0
"""What services do around an attach, by their own code: nova, cinder, cinderlib, the brick client.

Collected where ``services/make.sh`` has put what they need (``conftest.py``): too much for CI.
"""

import contextlib
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

from tests.doubles import cinder
from tests.functional import encryption_support as crypto
from tests.functional import fc_support, lab, nvme_support, support, test_instances, test_rbd
from tests.functional.services_support import (
    ARCHIVE,
    HERE,
    LOCKS,
    SITE,
    SITE23,
    Service,
    write_config,
)


@pytest.fixture(scope='module', autouse=True)
def unpacked():
    """The services' environment in this guest."""
    if not SITE.exists():
        SITE.parent.mkdir(parents=True, exist_ok=True)
        lab.shell.run('tar', 'xzf', str(ARCHIVE), '-C', str(SITE.parent))


@pytest.fixture
def start(clean_host):
    """Starts services, which end with the test."""
    with contextlib.ExitStack() as stack:
        yield lambda *words, **more: stack.enter_context(Service(*words, **more))


KEYS = f"""\
my_ip = 10.0.0.1
[key_manager]
backend = cinder.keymgr.conf_key_mgr.ConfKeyManager
fixed_key = {'0' * 64}
"""


def config(directory, more=''):
    """A service's configuration: root, and the helper of the guest's environment."""
    helper = pathlib.Path(sys.executable).with_name('privsep-helper')
    return write_config(directory / 'service.conf', str(directory / 'locks'), str(helper), more)


@pytest.mark.parametrize('encrypted', [False, True])
@pytest.mark.parametrize('multipath', [False, True])
def test_cinder_volume(shelf, multipathd, tmp_path, multipath, encrypted, start):
    multipathd(find_multipaths='no' if multipath else 'strict')
    volume = support.stamped(shelf, 'served') if not encrypted else shelf.volume('served', 48)
    target = shelf.target('served', 2)
    target.map(1, volume)
    props = target.properties(1, plural=True, encrypted=encrypted)
    service = start('cinder_volume', config(tmp_path, KEYS), 'iscsi', multipath, site=[SITE])
    service.say(json.dumps(props))
    path = service.hear('attached')
    if not encrypted:
        support.assert_is(path, volume)
    size = volume.grow(64)
    service.say()
    assert int(service.hear('grown')) == size
    service.say()
    assert service.hear('detached') == 'False'
    service.end()


NOVA_KEYS = KEYS.replace('cinder.keymgr', 'nova.keymgr')
NOVA = {
    'iscsi': test_instances.iscsi,
    'nvmeof': test_instances.nvme,
    'fibre_channel': test_instances.fc,
}


@pytest.mark.parametrize(
    ('kind', 'provider', 'threads'),
    [
        *((kind, '-', threads) for kind in NOVA for threads in ('green', 'native')),
        ('iscsi', 'luks', 'native'),
        ('iscsi', 'luks2', 'green'),
        ('nvmeof', 'luks2', 'native'),
    ],
)
def test_nova_compute(shelf, tmp_path, request, kind, provider, threads, start):
    """Attached for two instances, grown in use, kept for the second one, swapped, detached."""
    is_encrypted = provider != '-'
    back_end = NOVA[kind](request, shelf)
    volumes, both = back_end.volumes, back_end.props
    if is_encrypted:
        crypto.forget()
        for volume in volumes:
            volume.write(bytes(support.BLOCK))
        both = [{**props, 'encrypted': True} for props in both]
    more = {'OS_NOVA_DISABLE_EVENTLET_PATCHING': '1'} if threads == 'native' else {}
    told = config(tmp_path, NOVA_KEYS + '[libvirt]\nvolume_use_multipath = true\n')
    service = start('nova_compute', told, kind, provider, site=[SITE], **more)

    def check(number, path):
        if is_encrypted:
            assert os.path.exists(path)
        else:
            support.assert_is(path, volumes[number])

    service.say(json.dumps(both))
    old = service.hear('attached')
    check(0, old)
    with contextlib.nullcontext() if is_encrypted else nvme_support.Traffic(old, volumes[0]):
        size = volumes[0].grow(64)
        service.say()
        # The header of LUKS2 is before the data.
        assert int(service.hear('grown')) == size - (16 << 20) * (provider == 'luks2')
        service.say()
        assert service.hear('kept') == 'True'
    service.say()
    new = service.hear('swapped')
    check(1, new)
    # A namespace stays while the array shows it to controllers that another volume uses.
    assert os.path.lexists(old) == (kind == 'nvmeof' and not is_encrypted)
    service.say()
    assert service.hear('detached') == 'False'
    service.end()


def brick_client(server, *words):
    """What ``cinder WORD …`` prints."""
    argv = [sys.executable, '-P', '-W', 'ignore', str(HERE / 'brick_client.py')]
    argv += ['--os-auth-type', 'noauth', '--os-user-id', 'u', '--os-project-id', 'p']
    argv += [
        '--os-endpoint',
        f'http://127.0.0.1:{server.port}/v3',
        '--os-volume-api-version',
        '3.44',
    ]
    places = f'{lab.bricks.CHECKOUT}:{SITE}'
    environment = {'PATH': os.environ['PATH'], 'PYTHONPATH': places, 'OSLO_LOCK_PATH': LOCKS}
    return subprocess.run(
        [*argv, *words], env=environment, capture_output=True, text=True, check=True, timeout=120
    )


def test_cinder_local_attach(shelf):
    """As root without sudo and without a configuration file, against a double of Cinder's API."""
    volume = support.stamped(shelf, 'local')
    target = shelf.target('local', 2)
    target.map(1, volume)
    connection = {'driver_volume_type': 'iscsi', **target.properties(1, plural=True)}
    with cinder.Cinder(connection) as server:
        told = brick_client(server, 'get-connector').stdout
        assert 'iqn.' in told
        told = brick_client(server, 'local-attach', 'vol').stdout
        path = re.search(r'\| path +\| (\S+)', told)[1]
        support.assert_is(path, volume)
        assert server.completed == ['attachment-0']
        brick_client(server, 'local-detach', 'vol')
        assert not server.attachments
    assert not support.session_count(target.iqn)


def test_cinderlib_with_lvm_and_lio(shelf, multipathd, tmp_path, start):
    """cinderlib makes a logical volume, exports it by LIO, attaches it in its own process, grows
    and detaches it: root, no daemon of ours, every thread one of eventlet's."""
    multipathd(find_multipaths='strict')
    # The package of rtslib has it; without it LIO's tool ends with a word about configfs.
    pathlib.Path('/etc/target').mkdir(exist_ok=True)
    # The lab leaves it there without a store; the tool takes the number and finds the directory.
    with contextlib.suppress(FileNotFoundError):
        lab.lio.CORE.rmdir()
    group = lab.lvm.Group('lab-services', 2, 3072)
    group.create()
    try:
        service = start(
            'cinderlib_lvm',
            group.name,
            lab.net.V4[0],
            tmp_path,
            site=[SITE23, SITE],
            LVM_SYSTEM_DIR=str(group.directory),
        )
        path = service.hear('attached')
        support.node(path)
        service.say()
        assert int(service.hear('grown')) == 2 << 30
        service.say()
        assert service.hear('detached') == 'False'
        service.end()
    finally:
        group.close()


# Seconds; eventlet's loop waits for what does not yield, and for the processor under emulation.
LONGEST = 5.0
LIVES = {
    'iscsi': ('ISCSI', True),
    'nvme': ('NVMEOF', True),
    'fc': ('FIBRE_CHANNEL', True),
    'rbd': ('RBD', False),
}


def made(kind, shelf, request):
    """A volume of a kind, its properties, and what grows it."""
    if kind == 'iscsi':
        volume = support.stamped(shelf, 'green')
        target = shelf.target('green', 2)
        target.map(1, volume)
        return volume, target.properties(1, plural=True), volume.grow
    if kind == 'fc':
        fabric = request.getfixturevalue('fabric')
        volume = fc_support.served(shelf, fabric, 'green')
        return volume, fabric.properties(1), volume.grow
    if kind == 'nvme':
        store, subsystem = nvme_support.served(shelf, 'green', 2)
        return store, subsystem.properties(1), store.grow
    cluster = request.getfixturevalue('ceph')
    image = test_rbd.stamped(cluster, 'green')

    def grow(megabytes):
        cluster.grow(image, megabytes)
        return megabytes << 20

    return None, test_rbd.props(cluster, image), grow


@pytest.mark.parametrize('mode', ['client', 'here'])
@pytest.mark.parametrize('kind', LIVES)
def test_green(shelf, tmp_path, request, kind, mode, start):
    """The life of a volume under eventlet, with root's daemon and in the process itself."""
    volume, props, grow = made(kind, shelf, request)
    protocol, multipath = LIVES[kind]
    service = start('life', config(tmp_path), protocol, multipath, f'green-{mode}', site=[SITE])
    is_scsi_or_nvme = volume is not None
    waited = service.live(
        props, lambda path: is_scsi_or_nvme and support.assert_is(path, volume), grow
    )
    assert waited < LONGEST


def test_64_green_threads(shelf, tmp_path, start):
    """Each gets its own volume, of one target with two portals; nothing is left."""
    target = shelf.target('green', 2)
    volumes = [support.stamped(shelf, f'green{number}', 2) for number in range(64)]
    for number, volume in enumerate(volumes):
        target.map(number, volume)
    service = start('life', config(tmp_path), 'ISCSI', False, 'green-client', site=[SITE])
    everything = [target.properties(number, plural=True) for number in range(64)]
    service.say(json.dumps(everything))
    for info, volume in zip(json.loads(service.hear('attached')), volumes, strict=True):
        support.assert_is(info['path'], volume)
    service.say()
    assert json.loads(service.hear('grown')) == [2 << 20] * 64
    service.say()
    # They share one processor, and take turns only where one waits.
    assert float(service.hear('detached')) < 5 * LONGEST
    service.end()
