# SPDX-License-Identifier: Apache-2.0
"""NVMe over fabrics on a host in a directory: before and after."""

from collections.abc import Iterator
import pathlib
import shutil
import time
from typing import Any

from oslo_config import cfg
import pytest

from os_brick import exception
from os_brick.core import net, process
from os_brick.host import machine, notes
from os_brick.host import nvme as kernel_nvme
from os_brick.initiator.connectors import nvmeof
from os_brick.model import note, nvme_psk
from tests.unit import seams
from tests.unit.fakehost import mirrors, network, nvme


@pytest.fixture(params=[True, False], ids=['native', 'no multipath'])
def fabric(tmp_path: pathlib.Path, request: pytest.FixtureRequest) -> Iterator[nvme.Fabric]:
    cfg.CONF.set_override('lock_path', str(tmp_path / 'locks'), group='os_brick')
    cfg.CONF.set_override('scan_timeout', 1, group='os_brick')
    cfg.CONF.set_override('operation_timeout', 20, group='os_brick')
    machine.system_uuid.cache_clear()
    with (
        process.use(seams.Programs({})),
        nvme.Fabric(tmp_path / 'root', native=request.param) as found,
    ):
        yield found
    cfg.CONF.clear_override('lock_path', group='os_brick')
    cfg.CONF.clear_override('scan_timeout', group='os_brick')
    cfg.CONF.clear_override('operation_timeout', group='os_brick')
    machine.system_uuid.cache_clear()


def connector(*, multipath: bool = True) -> nvmeof.NVMeOFConnector:
    return nvmeof.NVMeOFConnector(None, use_multipath=multipath)


def noted(state_path: str) -> note.Note:
    """The only note that there is."""
    (found,) = notes.every(state_path).notes
    return found


@pytest.mark.parametrize('multipath', [True, False])
@pytest.mark.parametrize('ports', [1, 2])
def test_a_whole_life(fabric: nvme.Fabric, multipath: bool, ports: int, state_path: str) -> None:
    subsystem = fabric.subsystem('life', ports)
    volume = subsystem.namespaces[3] = nvme.Volume('gold', power=12)
    before = fabric.snapshot()
    brick = connector(multipath=multipath)
    props = subsystem.properties(3)
    info = brick.connect_volume(props)
    assert noted(state_path).identity == f'uuid.{volume.uuid}'
    head = 'nvme50n3' if fabric.native else 'nvme0n3'
    assert info == {'type': 'block', 'path': f'/dev/{head}'}
    several = multipath and fabric.native
    assert len(fabric.controllers) == (ports if several else 1)
    assert brick.get_volume_paths(props) == [f'/dev/{head}']
    volume.size = 96 << 20
    assert brick.extend_volume(props) == 96 << 20
    assert (fabric.root / f'sys/class/block/{head}/size').read_text() == str(96 << 11)
    brick.disconnect_volume(props, info)
    assert fabric.flushed == [head]
    assert fabric.snapshot() == before
    brick.disconnect_volume(props, info)


def test_the_wrong_namespace_is_not_returned(fabric: nvme.Fabric) -> None:
    """The subsystem has given the number to another volume."""
    subsystem = fabric.subsystem('reused')
    gold = subsystem.namespaces[1] = nvme.Volume('gold')
    props = subsystem.properties(1, volume_nguid=gold.nguid, ns_id=1)
    subsystem.namespaces[1] = silver = nvme.Volume('silver')
    before = fabric.snapshot()
    with pytest.raises(exception.VolumeIdentityMismatch) as caught:
        connector().connect_volume(props)
    assert gold.uuid in str(caught.value)
    assert silver.uuid in str(caught.value)
    assert fabric.snapshot() == before


@pytest.mark.parametrize('wanted', ['old', 'new'])
def test_the_kernel_believes_the_old_namespace(fabric: nvme.Fabric, wanted: str) -> None:
    """Someone has it connected since before the number was given to another volume."""
    subsystem = fabric.subsystem('stale')
    old = subsystem.namespaces[1] = nvme.Volume('gold')
    fabric.by_hand(subsystem, next(iter(subsystem.portals)))
    new = subsystem.namespaces[1] = nvme.Volume('silver')
    props = subsystem.properties(1, vol_uuid=(old if wanted == 'old' else new).uuid)
    if wanted == 'old':
        with pytest.raises(exception.BrickException) as caught:
            connector().connect_volume(props)
        assert old.uuid in str(caught.value)
    else:
        connector().connect_volume(props)
        ((shown, _size),) = next(iter(fabric.shown.values())).values()
        assert shown is new
    assert list(fabric.controllers) == ['nvme0']


def test_a_controller_that_was_there_stays(fabric: nvme.Fabric) -> None:
    """A failing attach takes down only what it has made."""
    subsystem = fabric.subsystem('kept', 2)
    subsystem.namespaces[1] = nvme.Volume('gold')
    own = fabric.by_hand(subsystem, min(subsystem.portals))
    with pytest.raises(exception.VolumeDeviceNotFound, match='UUID'):
        connector().connect_volume(subsystem.properties(1, vol_uuid=nvme.Volume('other').uuid))
    assert list(fabric.controllers) == [own]


def test_a_second_attach_that_fails_leaves_the_first(fabric: nvme.Fabric) -> None:
    subsystem = fabric.subsystem('twice')
    subsystem.namespaces[1] = nvme.Volume('gold')
    brick = connector()
    props = subsystem.properties(1)
    info = brick.connect_volume(props)
    attached = fabric.snapshot()
    assert brick.connect_volume(props) == info
    with pytest.raises(exception.BrickException):
        brick.connect_volume({**props, 'vol_uuid': nvme.Volume('other').uuid})
    assert fabric.snapshot() == attached


def test_the_last_volume_takes_the_controllers_along(fabric: nvme.Fabric) -> None:
    """The array still maps both: that a volume was let go of is noted."""
    subsystem = fabric.subsystem('shared', 2)
    subsystem.namespaces |= {1: nvme.Volume('gold'), 2: nvme.Volume('silver')}
    before = fabric.snapshot()
    brick = connector()
    one, two = subsystem.properties(1), subsystem.properties(2)
    first, second = brick.connect_volume(one), brick.connect_volume(two)
    brick.disconnect_volume(one, first)
    assert fabric.controllers
    brick.connect_volume(one)
    brick.disconnect_volume(two, second)
    assert fabric.controllers
    brick.disconnect_volume(one, first)
    assert not fabric.controllers
    assert fabric.snapshot() == before
    assert not list(fabric.root.parent.glob('locks/*note*'))


@pytest.mark.parametrize('ours', [True, False], ids=['made by the attach', 'there before'])
def test_a_namespace_that_was_never_attached(fabric: nvme.Fabric, ours: bool) -> None:
    """Someone may use it behind a controller that was there; who, the kernel does not say. Behind
    one that an attach has made, no one does."""
    subsystem = fabric.subsystem('beside')
    subsystem.namespaces |= {1: nvme.Volume('gold'), 2: nvme.Volume('silver')}
    before = fabric.snapshot()
    if not ours:
        fabric.connect_by_hand(subsystem)
    brick = connector()
    props = subsystem.properties(1)
    brick.disconnect_volume(props, brick.connect_volume(props))
    assert len(fabric.controllers) == (0 if ours else 1)
    assert (fabric.snapshot() == before) is ours


def test_notes_are_not_those_of_a_later_controller(fabric: nvme.Fabric) -> None:
    """Ours was disconnected by hand, and someone else's has got its name and its ID."""
    subsystem = fabric.subsystem('reborn')
    subsystem.namespaces |= {1: nvme.Volume('gold'), 2: nvme.Volume('silver')}
    brick = connector()
    props = subsystem.properties(1)
    info = brick.connect_volume(props)
    fabric.lose(*fabric.controllers)
    assert fabric.connect_by_hand(subsystem) == 'nvme0'
    brick.disconnect_volume(props, info)
    assert list(fabric.controllers) == ['nvme0']


@pytest.mark.parametrize('ending', ['by itself', 'reboot', 'by itself, and came again'])
@pytest.mark.parametrize('then', ['detach', 'attach and detach'])
def test_states_of_controllers_that_have_gone_go_with_the_next_operation(
    fabric: nvme.Fabric, tmp_path: pathlib.Path, ending: str, then: str
) -> None:
    """Lost for longer than ctrl_loss_tmo, say: no one had detached, and the names are free."""
    subsystem = fabric.subsystem('gone', 2)
    subsystem.namespaces[1] = nvme.Volume('gold')
    other = fabric.subsystem('stays')
    other.namespaces[1] = nvme.Volume('silver')
    brick = connector()
    brick.connect_volume(other.properties(1))
    before = nvme.states(tmp_path)
    assert before
    props = subsystem.properties(1)
    info = brick.connect_volume(props)
    if ending == 'reboot':
        fabric.reboot()
        brick.connect_volume(other.properties(1))
    else:
        fabric.lose(
            *[name for name, (whose, _) in fabric.controllers.items() if whose is subsystem]
        )
        fabric._heads()
    if ending == 'by itself, and came again':
        fabric.connect_by_hand(subsystem)
    if then == 'attach and detach':
        info = brick.connect_volume(props)
    brick.disconnect_volume(props, info)
    states = nvme.states(tmp_path)
    if ending == 'by itself, and came again':
        assert len(states) <= len(before) + 1  # What was released behind one made by hand.
    else:
        assert states == before
    if then == 'detach' and ending != 'by itself, and came again':
        brick.connect_volume(props)
        assert len(nvme.states(tmp_path)) > len(before)


def test_a_volume_that_was_let_go_of_and_is_used_again(fabric: nvme.Fabric) -> None:
    """Mounted by hand after its detach: another volume's detach does not pull it."""
    subsystem = fabric.subsystem('again')
    subsystem.namespaces |= {1: nvme.Volume('gold'), 2: nvme.Volume('silver')}
    brick = connector()
    one, two = subsystem.properties(1), subsystem.properties(2)
    first, second = brick.connect_volume(one), brick.connect_volume(two)
    brick.disconnect_volume(two, second)
    name = second['path'].rpartition('/')[2]
    fabric.file(f'/sys/class/block/{name}/dev', '259:7')
    fabric.file('/proc/self/mountinfo', '1 1 259:7 / /srv rw - ext4 /dev/x rw\n')
    brick.disconnect_volume(one, first)
    assert len(fabric.controllers) == 1


@pytest.mark.parametrize('by', [{}, {'ns_id': 1}], ids=['no name', 'a number'])
def test_a_volume_without_a_name_is_the_one_that_was_used(
    fabric: nvme.Fabric, by: dict[str, object]
) -> None:
    """Another volume in its place has another name in the kernel, and is left alone: that it is
    another one no one can say, so a detach does not say that it has succeeded."""
    subsystem = fabric.subsystem('unnamed')
    subsystem.namespaces[1] = nvme.Volume('gold')
    brick = connector()
    props = {**subsystem.properties(1), **by}
    del props['vol_uuid']
    info = brick.connect_volume(props)
    used = {**props, 'device_path': '/dev/nvme77n1'}
    assert brick.get_volume_paths(props) == [info['path']]
    assert brick.get_volume_paths(used) == []
    with pytest.raises(exception.VolumePathsNotFound):
        brick.extend_volume(used)
    for force in (False, True):
        with pytest.raises(exception.BrickException, match=r'nvme77n1.*may be another'):
            brick.disconnect_volume(used, None, force=force)
        assert len(fabric.controllers) == 1
    brick.disconnect_volume(props, info)
    assert not fabric.controllers


def test_a_number_that_is_another_volumes_by_now(fabric: nvme.Fabric) -> None:
    """The array has given it again, and another caller has attached that volume by its name: what
    the number leads to is not the volume that is detached, so that is detached already."""
    subsystem = fabric.subsystem('given')
    subsystem.namespaces[1] = nvme.Volume('gold')
    brick = connector()
    old = {**subsystem.properties(1), 'ns_id': 1}
    del old['vol_uuid']
    info = brick.connect_volume(old)
    fabric.reboot()
    subsystem.namespaces[1] = nvme.Volume('silver')
    new = brick.connect_volume(subsystem.properties(1))
    assert new == info
    attached = fabric.snapshot()
    for kept in (info, None, {**info, 'path': '/dev/nvme77n1'}):
        brick.disconnect_volume(old, kept)
        assert brick.get_volume_paths(old, kept) == []
        with pytest.raises(exception.VolumePathsNotFound):
            brick.extend_volume({**old, 'device_path': info['path']})
    assert fabric.snapshot() == attached
    assert not fabric.flushed


@pytest.mark.parametrize('force', [False, True])
def test_a_mounted_volume(fabric: nvme.Fabric, force: bool) -> None:
    subsystem = fabric.subsystem('used')
    subsystem.namespaces[1] = nvme.Volume('gold')
    brick = connector()
    props = subsystem.properties(1)
    info = brick.connect_volume(props)
    name = info['path'].rpartition('/')[2]
    fabric.file(f'/sys/class/block/{name}/dev', '259:7')
    fabric.file('/proc/self/mountinfo', '1 1 259:7 / /srv rw - ext4 /dev/x rw\n')
    if force:
        with pytest.raises(exception.ExceptionChainer, match='mount on /srv'):
            brick.disconnect_volume(props, info, force=True)
        assert not fabric.controllers
        return
    with pytest.raises(exception.VolumeInUse, match='mount on /srv'):
        brick.disconnect_volume(props, info)
    assert len(fabric.controllers) == 1
    assert not fabric.flushed


def test_the_array_unmapped_first(fabric: nvme.Fabric) -> None:
    subsystem = fabric.subsystem('unmapped', 2)
    subsystem.namespaces[1] = nvme.Volume('gold')
    before = fabric.snapshot()
    brick = connector()
    props = subsystem.properties(1)
    info = brick.connect_volume(props)
    subsystem.namespaces.clear()
    for name in list(fabric.controllers):
        fabric.scan(name)
    brick.disconnect_volume({**props, 'device_path': info['path']}, None)
    assert fabric.snapshot() == before


def test_enforced_multipath(fabric: nvme.Fabric) -> None:
    subsystem = fabric.subsystem('enforced', 2)
    subsystem.namespaces[1] = nvme.Volume('gold')
    props = subsystem.properties(1, enforce_multipath=True)
    before = fabric.snapshot()
    if fabric.native:
        brick = connector()
        brick.disconnect_volume(props, brick.connect_volume(props))
        subsystem.portals.pop()
    with pytest.raises(exception.BrickException, match='ultipath is enforced'):
        connector().connect_volume(props)
    assert fabric.snapshot() == before


def test_no_portal_answers(fabric: nvme.Fabric) -> None:
    subsystem = fabric.subsystem('away', 2)
    subsystem.namespaces[1] = nvme.Volume('gold')
    props = subsystem.properties(1)
    before = fabric.snapshot()
    portals = sorted(subsystem.portals)
    subsystem.portals.clear()
    with pytest.raises(exception.VolumeDeviceNotFound) as caught:
        connector().connect_volume(props)
    assert all(portal in str(caught.value) for portal in portals)
    assert fabric.snapshot() == before


def test_a_subsystem_without_uuids(fabric: nvme.Fabric) -> None:
    """The kernel shows the NGUID as UUID then; it is none."""
    subsystem = fabric.subsystem('plain')
    volume = subsystem.namespaces[1] = nvme.Volume('gold', has_uuid=False)
    brick = connector()
    props = subsystem.properties(1, volume_nguid=volume.nguid)
    brick.disconnect_volume(props, brick.connect_volume(props))
    with pytest.raises(exception.BrickException):
        brick.connect_volume(subsystem.properties(1, vol_uuid=volume.nguid))
    assert not fabric.controllers


def test_properties(fabric: nvme.Fabric) -> None:
    machine.root_file_system_uuid.cache_clear()
    found = nvmeof.NVMeOFConnector.get_connector_properties(None)
    assert found['nvme_native_multipath'] is fabric.native
    assert found['system uuid'] == nvme.HOST.rpartition(':')[2]
    assert 'nqn' not in found
    fabric.file('/usr/sbin/nvme', '')
    found = nvmeof.NVMeOFConnector.get_connector_properties(None)
    assert (found['nqn'], found['nvme_hostid']) == (nvme.HOST, nvme.HOST.rpartition(':')[2])
    machine.root_file_system_uuid.cache_clear()


def test_a_name_that_does_not_resolve(fabric: nvme.Fabric) -> None:
    """It is an error while there are controllers that may be at it, and never "not here"."""
    subsystem = fabric.subsystem('named')
    subsystem.namespaces[1] = nvme.Volume('gold')
    (address,) = subsystem.portals
    fabric.network.names['portal.lab'] = (address,)
    brick = nvmeof.NVMeOFConnector(None)
    props = subsystem.properties(1, portals=[('portal.lab', '4420', 'rdma')])
    info = brick.connect_volume(props)
    assert fabric.network.lookups == ['portal.lab']
    del fabric.network.names['portal.lab']
    with net.use(fabric.network):  # What was known of the name is old by now.
        for call in (
            lambda: brick.disconnect_volume(props, info),
            lambda: brick.extend_volume(props),
        ):
            with pytest.raises(exception.TargetPortalNotFound, match=r'portal\.lab'):
                call()
        assert fabric.controllers
        assert fabric.network.lookups == ['portal.lab'] * 2
    fabric.network.names['portal.lab'] = (address,)
    with net.use(fabric.network):
        brick.disconnect_volume(props, info)
        assert not fabric.controllers
    del fabric.network.names['portal.lab']
    with net.use(fabric.network):
        brick.disconnect_volume(props, info)  # It is not here whatever the name means.
        with pytest.raises(exception.VolumePathsNotFound):
            brick.extend_volume(props)
        with pytest.raises(exception.BrickException, match=r'portal\.lab'):
            brick.connect_volume(props)


UUID = '12345678-90ab-cdef-1234-567890abcdef'
PSK = 'NVMeTLSkey-1:01:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:'


@pytest.fixture
def encrypted(fabric: nvme.Fabric) -> Iterator[nvme.Subsystem]:
    """A subsystem whose portal over TCP (it takes connections) wants a key."""
    subsystem = fabric.subsystem('guarded')
    subsystem.namespaces[1] = nvme.Volume('gold')
    subsystem.portals = {'127.0.0.1'}
    subsystem.tls = {}
    subsystem.port = network.listen('127.0.0.1')
    yield subsystem
    network.close('127.0.0.1', subsystem.port)


def over_tcp(subsystem: nvme.Subsystem, **more: object) -> dict[str, object]:
    portals = [('127.0.0.1', subsystem.port, 'tcp')]
    return subsystem.properties(1, **{'portals': portals, **more})


@pytest.mark.parametrize('form', [0, 1], ids=['today', 'older form'])
@pytest.mark.parametrize('where', ['properties', 'option'])
def test_a_life_over_tls(
    fabric: nvme.Fabric, encrypted: nvme.Subsystem, form: int, where: str
) -> None:
    """The subsystem knows one of the two forms of the key; none is left in a keyring."""
    key = nvme_psk.Psk.parse(PSK).tls_keys(nvme.HOST, encrypted.nqn)[form]
    encrypted.tls = {key.identity: key.value}
    before = fabric.snapshot()
    props = over_tcp(encrypted)
    if where == 'properties':
        props['tls_psk'] = PSK
    else:
        cfg.CONF.set_override('nvmeof_tls_psk', PSK, group='os_brick')
    try:
        brick = connector()
        info = brick.connect_volume(props)
        assert fabric.tried[-1] == key.identity
        assert len(fabric.controllers) == 1
        assert not fabric.keys
        assert brick.connect_volume(props) == info
        brick.disconnect_volume(props, info)
    finally:
        cfg.CONF.clear_override('nvmeof_tls_psk', group='os_brick')
    assert fabric.snapshot() == before


def test_no_plain_connection_where_tls_is_wanted(
    fabric: nvme.Fabric, encrypted: nvme.Subsystem
) -> None:
    """A controller that someone has made without TLS is not used, and stays."""
    encrypted.tls = None
    brick = connector()
    info = brick.connect_volume(over_tcp(encrypted))
    before = fabric.snapshot()
    with pytest.raises(exception.VolumeDeviceNotFound, match=r'without TLS.*127\.0\.0\.1|TLS'):
        brick.connect_volume(over_tcp(encrypted, tls_psk=PSK))
    assert fabric.snapshot() == before
    brick.disconnect_volume(over_tcp(encrypted), info)


@pytest.mark.parametrize('given', [PSK, None], ids=['another key', 'no key'])
def test_a_subsystem_that_refuses_the_key(
    fabric: nvme.Fabric, encrypted: nvme.Subsystem, given: str | None
) -> None:
    encrypted.tls = {'another one': b''}
    before = fabric.snapshot()
    with pytest.raises(exception.VolumeDeviceNotFound) as caught:
        connector().connect_volume(over_tcp(encrypted, tls_psk=given))
    assert '127.0.0.1' in str(caught.value)
    assert ('tlshd' in str(caught.value)) == bool(given)
    assert PSK[20:40] not in str(caught.value)
    assert len(fabric.tried) == (2 if given else 0)
    assert fabric.snapshot() == before
    assert not fabric.keys


def test_a_broken_key_of_the_configuration_is_named(
    fabric: nvme.Fabric, encrypted: nvme.Subsystem
) -> None:
    cfg.CONF.set_override('nvmeof_tls_psk', 'geheim', group='os_brick')
    try:
        with pytest.raises(exception.InvalidParameterValue, match='nvmeof_tls_psk') as caught:
            connector().connect_volume(over_tcp(encrypted))
    finally:
        cfg.CONF.clear_override('nvmeof_tls_psk', group='os_brick')
    assert 'geheim' not in str(caught.value)


def test_links_of_encrypted_volumes_of_one_subsystem(fabric: nvme.Fabric) -> None:
    """A volume's own link goes, though the array still shows the volume; another's stays."""
    subsystem = fabric.subsystem('locked')
    subsystem.namespaces |= {1: nvme.Volume('gold'), 2: nvme.Volume('silver')}
    before = fabric.snapshot()
    brick = connector()
    props = [subsystem.properties(nsid, encrypted=True) for nsid in (1, 2)]
    infos = [brick.connect_volume(each) for each in props]
    paths = [fabric.root / info['path'].lstrip('/') for info in infos]
    brick.disconnect_volume(props[0], infos[1])
    assert paths[1].is_symlink()
    brick.disconnect_volume(props[0], infos[0])
    assert [path.is_symlink() for path in paths] == [False, True]
    brick.disconnect_volume(props[1], infos[1])
    assert fabric.snapshot() == before
    assert not paths[1].is_symlink()


def test_a_detach_that_does_not_reach_the_volume_says_where_it_is(
    fabric: nvme.Fabric, caplog: pytest.LogCaptureFixture
) -> None:
    """This host has another name by now: whose controller that is it cannot know."""
    subsystem = fabric.subsystem('renamed')
    subsystem.namespaces[1] = nvme.Volume('gold')
    brick = connector()
    props = subsystem.properties(1)
    info = brick.connect_volume(props)
    fabric.file('/etc/nvme/hostnqn', 'nqn.2026-11.org.lab:renamed')
    brick.disconnect_volume(props, info)
    assert len(fabric.controllers) == 1
    assert f'stays behind controller nvme0 of {subsystem.nqn}' in caplog.text
    assert f'connected as {nvme.HOST}' in caplog.text


def test_extend_of_a_mirror_that_is_not_here(fabric: nvme.Fabric) -> None:
    """Its members are, as volumes of their own: the size of one of them is not the mirror's."""
    brick = connector()
    members = []
    for name in ('left', 'right'):
        subsystem = fabric.subsystem(name)
        subsystem.namespaces[1] = nvme.Volume(name)
        members.append(subsystem.properties(1))
        brick.connect_volume(members[-1])
    mirror = {'vol_uuid': UUID, 'alias': 'gold', 'volume_replicas': members, 'replica_count': 2}
    with pytest.raises(exception.VolumePathsNotFound, match='gold'):
        brick.extend_volume(mirror)
    for member in members:
        brick.disconnect_volume(member, None)


@pytest.mark.parametrize(
    'text', [f'# {nvme.HOST}\n{nvme.HOST}\n', f'"{nvme.HOST}"\n', f'\n{nvme.HOST}\n', 'a,b\n']
)
def test_a_file_that_does_not_contain_this_hosts_name(
    fabric: nvme.Fabric, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Named before anything is done; a host is described without it; a caller's name will do."""
    subsystem = fabric.subsystem('unnamed')
    subsystem.namespaces[1] = nvme.Volume('gold')
    props = subsystem.properties(1)
    fabric.file('/etc/nvme/hostnqn', text)
    fabric.file('/usr/sbin/nvme', '')
    before = fabric.snapshot()
    with pytest.raises(
        exception.BrickException, match=r'^/etc/nvme/hostnqn: .* is not a valid NVMe'
    ):
        connector().connect_volume(props)
    told = connector().get_connector_properties(None, multipath=True)
    assert not {'nqn', 'nvme_hostid'} & set(told)
    assert 'This host cannot be described completely: /etc/nvme/hostnqn: ' in caplog.text
    connector().disconnect_volume(props, None)
    assert fabric.snapshot() == before
    named = {**props, 'host_nqn': 'nqn.2026-11.org.lab:caller'}
    connector().disconnect_volume(named, connector().connect_volume(named))
    assert fabric.snapshot() == before


@pytest.mark.parametrize('text', ['{}\n{}\n', '{}\0\0\n', '  {}\r\n', '{}\n# a comment'])
def test_a_file_with_more_than_this_hosts_name(fabric: nvme.Fabric, text: str) -> None:
    """libnvme takes the first line, up to a NUL."""
    subsystem = fabric.subsystem('named')
    subsystem.namespaces[1] = nvme.Volume('gold')
    fabric.file('/etc/nvme/hostnqn', text.format(nvme.HOST, nvme.HOST))
    connector().connect_volume(subsystem.properties(1))
    assert {each.host_nqn for each in kernel_nvme.controllers()} == {nvme.HOST}


def members_of_a_mirror(fabric: nvme.Fabric) -> list[dict[str, Any]]:
    """The properties of two volumes, each of a subsystem of its own."""
    members = []
    for name in ('left', 'right'):
        subsystem = fabric.subsystem(name)
        subsystem.namespaces[1] = nvme.Volume(name)
        members.append(subsystem.properties(1))
    return members


@pytest.mark.parametrize('number', [1, 2])
def test_an_interrupted_attach_of_a_mirror_leaves_nothing(fabric: nvme.Fabric, number: int) -> None:
    """Whichever of its members is being connected, side by side with the other, when it comes."""
    members = members_of_a_mirror(fabric)
    before = fabric.snapshot()
    calls: list[int] = []

    def interrupt() -> None:
        calls.append(1)
        if len(calls) == number:
            raise KeyboardInterrupt

    fabric.before_connecting = interrupt
    mirror = {'vol_uuid': UUID, 'alias': 'gold', 'volume_replicas': members, 'replica_count': 2}
    with pytest.raises(KeyboardInterrupt):
        connector().connect_volume(mirror)
    assert not fabric.controllers
    assert fabric.snapshot() == before


class Mdadm:
    """udev has begun to assemble an array over what is here; mdadm can stop it."""

    def __init__(self, fabric: nvme.Fabric) -> None:
        self.fabric = fabric
        self.stopped: list[str] = []

    def begin(self, head: str) -> None:
        self.fabric.file('/sys/block/md127/md/array_state', 'inactive')
        self.fabric.file(f'/sys/block/md127/md/dev-{head}/state', 'spare')
        self.fabric.file(f'/sys/block/md127/md/dev-{head}/block', '')
        self.fabric.file(f'/sys/class/block/{head}/holders/md127', '')

    def run(self, argv: tuple[str, ...], **_keywords: Any) -> process.Result:
        assert argv == ('mdadm', '--stop', '/dev/md127')
        self.stopped.append(argv[2])
        shutil.rmtree(self.fabric.root / 'sys/block/md127')
        for holder in self.fabric.root.glob('sys/class/block/*/holders/md127'):
            holder.unlink()
        return process.Result(argv, 0, '', '')

    def isolated(self, call: Any, timeout: float) -> Any:
        return call()


def test_what_udev_begins_of_a_mirror_whose_attach_is_interrupted(fabric: nvme.Fabric) -> None:
    """The other member is still being connected: the array would hold the first, and stay."""
    members = members_of_a_mirror(fabric)
    before = fabric.snapshot()
    calls: list[int] = []
    mdadm = Mdadm(fabric)
    blocks = fabric.root / 'sys/class/block'

    def interrupt() -> None:
        calls.append(1)
        if len(calls) == 1:
            return
        limit = time.monotonic() + 10
        while not (heads := [each.name for each in blocks.iterdir()]):
            assert time.monotonic() < limit
            time.sleep(0.01)
        mdadm.begin(heads[0])
        raise KeyboardInterrupt

    fabric.before_connecting = interrupt
    mirror = {'vol_uuid': UUID, 'alias': 'gold', 'volume_replicas': members, 'replica_count': 2}
    with process.use(mdadm), pytest.raises(KeyboardInterrupt):
        connector().connect_volume(mirror)
    assert mdadm.stopped == ['/dev/md127']
    assert not fabric.controllers
    assert fabric.snapshot() == before


@pytest.mark.parametrize('alias', [None, 'gold'])
def test_a_foreign_array_over_the_only_member_is_a_user_of_it(
    fabric: nvme.Fabric, alias: str | None
) -> None:
    """Another process has made it inside the volume; it was stopped where no alias was passed."""
    subsystem = fabric.subsystem('inside')
    subsystem.namespaces[1] = nvme.Volume('gold')
    member = subsystem.properties(1)
    brick = connector()
    head = brick.connect_volume(member)['path'].removeprefix('/dev/')
    fabric.file('/sys/block/md127/md/array_state', 'clean')
    fabric.file('/sys/block/md127/md/uuid', UUID)
    fabric.file(f'/sys/block/md127/md/dev-{head}/state', 'in_sync')
    fabric.file(f'/sys/class/block/{head}/holders/md127', '')
    before = fabric.snapshot()
    volume = {'vol_uuid': UUID, 'volume_replicas': [member], 'replica_count': 1, 'alias': alias}
    with pytest.raises(exception.VolumeInUse, match='md127'):
        brick.disconnect_volume(volume, None)
    assert fabric.snapshot() == before
    assert not fabric.flushed


def test_the_array_of_a_volume_whose_alias_is_not_known(fabric: nvme.Fabric) -> None:
    """By what its member says of itself; the path of an array None does not exist."""
    subsystem = fabric.subsystem('inside')
    subsystem.namespaces[1] = nvme.Volume('gold')
    member = subsystem.properties(1)
    brick = connector()
    head = brick.connect_volume(member)['path'].removeprefix('/dev/')
    (fabric.root / 'dev' / head).write_bytes(bytes(4096) + mirrors.superblock() + bytes(1 << 20))
    fabric.file('/sys/block/md127/md/array_state', 'clean')
    fabric.file('/sys/block/md127/md/uuid', '-'.join(['11' * 4, *['11' * 2] * 3, '11' * 6]))
    fabric.file(f'/sys/class/block/{head}/holders/md127', '')
    volume = {'vol_uuid': UUID, 'volume_replicas': [member], 'replica_count': 1}
    assert brick.get_volume_paths(volume) == ['/dev/md127']


def test_a_failed_attach_keeps_its_controller_while_a_process_uses_the_device(
    fabric: nvme.Fabric,
) -> None:
    """It has opened what udev showed: another volume's guest, or an operator, by a stale name."""
    subsystem = fabric.subsystem('taken')
    volume = subsystem.namespaces[1] = nvme.Volume('gold', readable=512)
    before = fabric.snapshot()
    head = 'nvme50n1' if fabric.native else 'nvme0n1'
    fabric.file('/proc/77/comm', 'qemu')
    (fabric.root / 'proc/77/fd').mkdir()
    descriptor = fabric.root / 'proc/77/fd/3'
    descriptor.symlink_to(f'/dev/{head}')
    props = subsystem.properties(1)
    with pytest.raises(exception.BrickException, match='512 of the first'):
        connector().connect_volume(props)
    assert len(fabric.controllers) == 1
    with pytest.raises(exception.VolumeInUse, match='process 77'):
        connector().disconnect_volume(props, None)
    assert len(fabric.controllers) == 1
    descriptor.unlink()
    volume.readable = 4096
    connector().disconnect_volume(props, None)
    assert fabric.snapshot() == before | {'proc/77/comm'}


def test_names_of_subsystems_as_cinder_makes_them(fabric: nvme.Fabric) -> None:
    """Its LVM driver's are not of a form that the specification has; the kernel takes them."""
    subsystem = fabric.subsystem('x')
    del fabric.subsystems[subsystem.nqn]
    subsystem.nqn = 'nqn.nvme-subsystem-1-6f0c1c1e-2222-4333-8444-555566667777'
    fabric.subsystems[subsystem.nqn] = subsystem
    volume = subsystem.namespaces[10] = nvme.Volume('gold')
    before = fabric.snapshot()
    shapes = [
        subsystem.properties(10),
        {
            'nqn': subsystem.nqn,
            'target_portal': min(subsystem.portals),
            'target_port': 4420,
            'transport_type': 'rdma',
            'ns_id': 10,
        },
    ]
    for props in shapes:
        info = connector().connect_volume(props)
        assert connector().get_volume_paths(props) == [info['path']]
        assert fabric.uuid_of(info['path']) == volume.uuid
        connector().disconnect_volume(props, info)
        assert fabric.snapshot() == before
