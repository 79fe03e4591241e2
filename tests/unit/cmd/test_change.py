# SPDX-License-Identifier: Apache-2.0
"""attach, detach and extend on the fake host: plans, what is applied, what is printed."""

from collections.abc import Iterator
import json
import os
import pathlib
import signal
import sys
from typing import Any

from oslo_config import cfg
import pytest

from os_brick.cmd import main, services
from os_brick.cmd.exits import Exit
from os_brick.host import notes
from tests.unit.fakehost import array, nvme
from tests.unit.fakehost import host as fake_host
from tests.unit.fakehost.fixtures import host  # noqa: F401

PROPS = '/root/gold.json'
PORTAL = ('10.0.0.9', '4420', 'rdma')
KEY = f'DHHC-1:00:{"s" * 48}:'
VOLUME = '8f0c2a4e-6d0b-4c31-9a55-3f0f5b0e7d11'


class Shell:
    """Runs commands; what they print is kept."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.out = self.err = ''

    def run(self, *words: str) -> int:
        code = main.main(list(words))
        self.out, self.err = self._capsys.readouterr()
        return code

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    monkeypatch.setattr(os, 'geteuid', lambda: 0)
    yield Shell(capsys)
    cfg.CONF.clear_override('operation_timeout', group='os_brick')
    cfg.CONF.clear_default('lock_path', group='os_brick')
    cfg.CONF.clear_override('lock_path', group='oslo_concurrency')


@pytest.fixture
def target(host: fake_host.Host) -> Any:  # noqa: F811
    found = host.target('t1', portals=2)
    found.luns[1] = array.Unit()
    return found


@pytest.fixture
def props(host: fake_host.Host, target: Any) -> str:  # noqa: F811
    data = {**target.properties(), 'volume_id': VOLUME, 'auth_password': 'sesame-sesame'}
    host.tree.file(PROPS, json.dumps({'driver_volume_type': 'iscsi', 'data': data}))
    host.tree.at(PROPS).chmod(0o600)
    return PROPS


def test_attach_and_detach(host: Any, shell: Shell, props: str, state_path: str) -> None:  # noqa: F811
    before = host.snapshot()
    assert shell.run('attach', props) == Exit.OK
    device = shell.out.strip()
    assert device.startswith('/dev/dm-')
    assert notes.every(state_path).notes[0].device == device.removeprefix('/dev/')
    assert shell.run('detach', VOLUME[:8]) == Exit.OK
    assert host.snapshot() == before
    assert notes.every(state_path).notes == ()


@pytest.mark.parametrize('wwid', ['36001405ffffffffffffffffffffffff', '3', '6001405' + 'f' * 25])
def test_what_is_expected_and_cannot_be_compared_is_refused(
    host: Any,  # noqa: F811
    shell: Shell,
    props: str,
    wwid: str,
) -> None:
    """With a digit missing the volume that was there was attached, with a line in the log."""
    before = host.snapshot()
    assert shell.run('attach', props, '--expect', wwid) == Exit.USAGE
    assert f"'{wwid}' is not a valid WWID" in shell.err
    assert host.snapshot() == before


def test_json_has_the_result_the_paths_and_the_steps(shell: Shell, props: str) -> None:
    assert shell.run('attach', props, '-f', 'json') == Exit.OK
    found = shell.document
    assert found['schema'] == 'os-brick/attach/1'
    assert found['outcome'] == 'done'
    assert found['device_info']['type'] == 'block'
    assert found['paths'] == {'wanted': 2, 'ready': 2}
    assert {'lock', 'log in', 'scan', 'verify identity', 'build multipath map'} <= {
        s['name'] for s in found['steps']
    }
    assert 'sesame' not in shell.out + shell.err


def test_steps_are_shown_as_they_are_done(shell: Shell, props: str) -> None:
    assert shell.run('attach', props, '-v') == Exit.OK
    lines = shell.err.splitlines()
    assert any('log in' in line and '127.0.0.1' in line for line in lines)
    # The first of each: two paths are opened in two threads, whose lines come in either order.
    times = {line[10:].split()[0]: float(line.split()[0]) for line in reversed(lines)}
    assert times['lock'] == min(times.values())
    assert times['lock'] <= times['scan'] <= times['build']


def test_a_plan_changes_nothing_and_is_what_is_applied(
    host: Any,  # noqa: F811
    shell: Shell,
    props: str,
    state_path: str,
) -> None:
    before = host.snapshot()
    assert shell.run('attach', props, '--plan') == Exit.OK
    assert host.snapshot() == before
    assert notes.every(state_path) == notes.Noted()
    assert 'log in' in shell.out
    assert 'sesame' not in shell.out
    known = shell.out.rpartition('\nplan ')[2].split()[0]
    assert shell.run('attach', props, '--plan', '-f', 'json') == Exit.OK
    assert shell.document['id'] == known
    assert shell.run('attach', props, '--apply', known) == Exit.OK
    assert shell.run('detach', VOLUME, '--plan', '-f', 'json') == Exit.OK
    verbs = [step['verb'] for step in shell.document['plans'][0]['steps']]
    assert 'flush' in verbs
    assert shell.run('detach', VOLUME, '--apply', shell.document['id']) == Exit.OK
    assert host.snapshot() == before


def test_a_plan_of_a_host_that_has_changed_is_refused(
    host: Any,  # noqa: F811
    shell: Shell,
    props: str,
    state_path: str,
) -> None:
    assert shell.run('attach', props, '--plan', '-f', 'json') == Exit.OK
    known = shell.document['id']
    assert shell.run('attach', props) == Exit.OK
    before = host.snapshot()
    assert shell.run('attach', props, '--apply', known) == Exit.REFUSED
    assert 'nothing was done' in shell.err
    assert '--plan' in shell.err
    assert host.snapshot() == before
    assert len(notes.every(state_path).notes) == 1
    assert shell.run('detach', VOLUME, '--apply', '00000000') == Exit.REFUSED
    assert host.snapshot() == before


def test_what_is_in_use_is_refused(host: Any, shell: Shell, props: str) -> None:  # noqa: F811
    assert shell.run('attach', props) == Exit.OK
    name = shell.out.strip().removeprefix('/dev/')
    number = host.tree.at(f'/sys/class/block/{name}/dev').read_text().strip()
    host.tree.file('/proc/self/mountinfo', f'36 35 {number} / /mnt rw - ext4 x rw\n')
    before = host.snapshot()
    assert shell.run('detach', name) == Exit.REFUSED
    assert 'Stop what uses it' in shell.err
    assert host.snapshot() == before


def test_an_attach_that_fails_says_that_the_host_is_as_before(
    host: Any,  # noqa: F811
    shell: Shell,
    props: str,
    target: Any,
) -> None:
    del target.luns[1]
    before = host.snapshot()
    assert shell.run('attach', props, '-f', 'json', '--timeout', '30') == 1
    error = json.loads(shell.err)['error']
    assert error['code'] == 'volume-device-not-found'
    assert error['remedy'] == 'The host is as it was before.'
    assert host.snapshot() == before


def test_a_detach_that_fails_says_what_has_become_of_the_host(
    tmp_path: pathlib.Path, shell: Shell
) -> None:
    """Whatever is refused: code 1 means that the host is as before, 2 that it may not be."""
    codes = set()
    for number in range(10):
        with fake_host.Host(tmp_path / str(number)) as each:
            found = each.target('t1', portals=2)
            found.luns[1] = array.Unit()
            data = {**found.properties(), 'volume_id': VOLUME}
            each.tree.file(PROPS, json.dumps({'driver_volume_type': 'iscsi', 'data': data}))
            assert shell.run('attach', PROPS) == Exit.OK
            before = each.snapshot()
            each.fail(number, 'refused')
            code = shell.run('detach', VOLUME)
            assert code in (0, 1, 2, 3, 255) or shell.err
            codes.add(code)
            if code == 1:
                assert each.snapshot() == before
                assert 'as it was before' in shell.err
            shell.run('detach', PROPS, '--force')
    assert 2 in codes


@pytest.mark.native  # A command is not run under eventlet, which has a main thread of its own.
@pytest.mark.parametrize(
    ('number', 'code'), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)]
)
def test_a_signal_has_an_attach_taken_back(
    host: Any,  # noqa: F811
    shell: Shell,
    props: str,
    number: int,
    code: int,
) -> None:
    before = host.snapshot()
    seen = []

    def strike(what: str) -> None:
        seen.append(what)
        if len(seen) >= 6:  # And while it is taken back.
            os.kill(os.getpid(), number)

    host.before_act = strike
    assert shell.run('attach', props) == code
    assert host.snapshot() == before
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_plan_is_of_its_options(shell: Shell, props: str) -> None:
    assert shell.run('attach', props) == Exit.OK
    assert shell.run('detach', VOLUME, '--plan', '-f', 'json') == Exit.OK
    known = shell.document['id']
    for more in (['--force'], ['--force', '--ignore-errors']):
        assert shell.run('detach', VOLUME, *more, '--apply', known) == Exit.REFUSED
        assert shell.run('detach', VOLUME, *more, '--plan') == Exit.OK
        assert 'with       force' in shell.out


def test_a_device_that_is_another_volumes_by_now(
    host: Any,  # noqa: F811
    shell: Shell,
    target: Any,
) -> None:
    """The note says sda; the volume has come back as another disk, and sda is another volume."""
    target.luns[2] = array.Unit(name='silver')
    for lun, volume in ((1, VOLUME), (2, 'silver')):
        data = {**target.properties(lun=lun), 'volume_id': volume}
        host.tree.file(PROPS, json.dumps({'driver_volume_type': 'iscsi', 'data': data}))
        assert shell.run('attach', PROPS) == Exit.OK
    device = shell.out.strip().removeprefix('/dev/')
    (place,) = (
        each
        for each in pathlib.Path(cfg.CONF.os_brick.state_path).glob(f'{notes.NOTE}*')
        if VOLUME in each.read_text()
    )
    raw = json.loads(place.read_text())
    place.write_text(json.dumps({**raw, 'device': device}))
    for each in pathlib.Path(cfg.CONF.os_brick.state_path).glob(f'{notes.NOTE}*'):
        if each != place:
            each.unlink()
    before = host.snapshot()
    for words in ((), ('--plan',)):
        assert shell.run('detach', device, *words) == Exit.REFUSED
        assert VOLUME in shell.err
        assert host.snapshot() == before


def test_a_word_is_not_a_file(
    host: Any,  # noqa: F811
    shell: Shell,
    props: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert shell.run('attach', props) == Exit.OK
    name = shell.out.strip().removeprefix('/dev/')
    host.tree.file(f'/srv/{name}', '{"driver_volume_type": "iscsi", "data": {}}')
    monkeypatch.setattr(os.path, 'abspath', lambda path: os.path.join('/srv', path))
    assert shell.run('detach', name, '--plan') == Exit.OK
    assert shell.run('detach', f'./{name}', '--plan') == Exit.USAGE


@pytest.mark.parametrize('mode', [0o620, 0o602])
def test_a_file_that_others_can_write_is_refused(
    host: Any,  # noqa: F811
    shell: Shell,
    props: str,
    mode: int,
) -> None:
    host.tree.at(props).chmod(mode)
    assert shell.run('attach', props) == Exit.REFUSED
    assert 'can be changed' in shell.err


def test_extend_prints_the_size(shell: Shell, props: str, target: Any) -> None:
    assert shell.run('attach', props) == Exit.OK
    target.luns[1].megabytes = 96
    assert shell.run('extend', VOLUME, '-f', 'json') == Exit.OK
    assert shell.document['size_bytes'] == 96 << 20
    assert shell.run('extend', VOLUME, '--plan') == Exit.OK
    assert 'read capacity' in shell.out


def test_an_empty_word_is_not_a_volume_a_plan_or_an_identity(
    host: Any,  # noqa: F811
    shell: Shell,
    target: Any,
) -> None:
    """``detach "$VOLUME"`` with a variable that is not set, of a volume without an ID."""
    host.tree.file(PROPS, json.dumps({'driver_volume_type': 'iscsi', 'data': target.properties()}))
    for words in (('--apply', ''), ('--apply', 'now'), ('--expect', ''), ('--id', ' ')):
        before = host.snapshot()
        assert shell.run('attach', PROPS, *words) == Exit.USAGE, words
        assert host.snapshot() == before
    assert shell.run('attach', PROPS) == Exit.OK
    before = host.snapshot()
    for operation in ('detach', 'extend'):
        for what in ('', ' ', '/dev/'):
            assert shell.run(operation, what) in (Exit.USAGE, Exit.NOT_THERE)
        assert shell.run(operation, PROPS, '--apply', '') == Exit.USAGE
    assert host.snapshot() == before


@pytest.mark.parametrize('kind', ['nfs', 'local'])
@pytest.mark.parametrize('data', [{}, {'export': 5, 'device_path': 5}])
def test_the_detach_of_garbage_is_not_done(
    host: Any,  # noqa: F811
    shell: Shell,
    kind: str,
    data: dict[str, Any],
) -> None:
    connection = {'driver_volume_type': kind, 'data': data, 'mount_point_base': '/mnt'}
    host.tree.file(PROPS, json.dumps(connection))
    for words in ((), ('--plan',), ('--force', '--ignore-errors')):
        assert shell.run('detach', PROPS, *words) == Exit.USAGE, words
        assert 'Correct the connection properties' in shell.err


def test_what_is_not_there(shell: Shell, props: str) -> None:
    assert shell.run('detach', 'dm-99') == Exit.NOT_THERE
    assert shell.run('extend', props) == Exit.NOT_THERE
    assert shell.run('attach', '/nothing/here') == Exit.USAGE


@pytest.mark.parametrize(
    ('text', 'says'),
    [
        ('{"target_lun": 1}', 'does not tell the protocol'),
        ('{', 'neither JSON nor YAML'),
        ('[1, 2]', 'does not hold a dictionary'),
        ('1: x', 'with texts for keys'),
        ('driver_volume_type: iscsi\ndata: {a: [{2: y}]}', 'with texts for keys'),
        ('{"driver_volume_type": "floppy", "data": {}}', 'There is no connector of protocol'),
        ('{"driver_volume_type": "iscsi", "data": {}}', 'target_portal'),
        ('{"driver_volume_type": "iscsi", "data": null}', 'data in /root/gold.json is not'),
        (
            '{"driver_volume_type": "rbd", "data": {"name": "p/v", "keyring": "X",'
            ' "hosts": ["h"], "ports": ["1"]}}',
            'auth_username: missing',
        ),
    ],
)
def test_properties_that_are_none(
    host: Any,  # noqa: F811
    shell: Shell,
    text: str,
    says: str,
) -> None:
    host.tree.file(PROPS, text)
    assert shell.run('attach', PROPS) == Exit.USAGE
    assert says in shell.err


def test_no_standard_input(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where cron or systemd has closed it."""
    monkeypatch.setattr(sys, 'stdin', None)
    assert shell.run('attach', '-') == Exit.USAGE
    assert 'does not hold a dictionary' in shell.err


def test_a_secret_that_others_can_read_is_warned_about(
    host: Any,  # noqa: F811
    shell: Shell,
    props: str,
) -> None:
    assert shell.run('attach', props) == Exit.OK
    assert shell.err == ''
    host.tree.at(props).chmod(0o644)
    assert shell.run('attach', props) == Exit.OK
    assert 'other users can read it' in shell.err


def test_without_root(shell: Shell, props: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, 'geteuid', lambda: 1000)
    assert shell.run('attach', props, '--plan') == Exit.NEEDS_ROOT
    assert 'sudo' in shell.err


def test_services_that_do_not_share_their_locks(tmp_path: pathlib.Path, shell: Shell) -> None:
    places = []
    for name in ('nova', 'cinder'):
        places.append(str(tmp_path / f'{name}.conf'))
        pathlib.Path(places[-1]).write_text(f'[os_brick]\nlock_path = /run/lock/{name}\n')
    override = cfg.CONF.os_brick.lock_path
    cfg.CONF.clear_override('lock_path', group='os_brick')
    try:
        words = [word for place in places for word in ('--config-file', place)]
        assert shell.run('detach', 'x', *words) == Exit.REFUSED
        assert 'nova.conf has /run/lock/nova' in shell.err
        services.configure(places[:1])
        assert cfg.CONF.os_brick.lock_path == '/run/lock/nova'
    finally:
        cfg.CONF([], default_config_files=[], default_config_dirs=[])
        cfg.CONF.clear_override('lock_path', group='os_brick')
        if override:
            cfg.CONF.set_override('lock_path', override, group='os_brick')


def configured(host: fake_host.Host, project: str, text: str) -> str:  # noqa: F811
    """A service of this host, by its configuration; returns the path of it."""
    path = f'/etc/{project}/{project}.conf'
    host.tree.file(path, text)
    return path


@pytest.mark.parametrize('group', ['oslo_concurrency', 'OSLO_CONCURRENCY'])
@pytest.mark.parametrize('quote', ['', '"', "'"])
def test_locks_are_where_the_variables_of_a_service_say(
    quote: str,
    group: str,
    host: fake_host.Host,  # noqa: F811
    shell: Shell,
    props: str,
) -> None:
    """As OpenStack's installation guides write it; oslo.config knows no state_path here."""
    locks = host.place / 'srv/locks'
    text = f'[DEFAULT]\nstate_path = {quote}{host.place}/srv{quote}\n[{group}]\n'
    configured(host, 'nova', f'{text}lock_path = {quote}$state_path/locks{quote}\n')
    configured(host, 'cinder', '[DEFAULT]\nmy_ip = $my_block\n')
    assert shell.run('attach', props) == Exit.OK, shell.err
    assert cfg.CONF.os_brick.lock_path == str(locks)
    assert list(locks.glob('os-brick-*')) or list(host.tree.at(str(locks)).glob('os-brick-*'))


@pytest.mark.parametrize('place', ['/srv/$host/locks', '${oslo_concurrency.lock_path}/locks'])
@pytest.mark.parametrize('option', ['lock_path', 'state_path'])
def test_a_variable_that_only_the_service_knows_is_refused(
    option: str,
    place: str,
    host: fake_host.Host,  # noqa: F811
    shell: Shell,
    props: str,
) -> None:
    """The command would have other locks, or other notes, than the service."""
    configured(host, 'nova', f'[os_brick]\n{option} = {place}\n')
    before = host.snapshot()
    assert shell.run('attach', props) == Exit.USAGE
    assert option in shell.err
    assert place in shell.err
    assert host.snapshot() == before


def notes_of_nova(state_path: str) -> pathlib.Path:
    """Have the notes be where only nova has them."""
    return pathlib.Path(state_path).rename(pathlib.Path(state_path).with_name('of-nova'))


@pytest.mark.parametrize('more', ['', 'nova-compute.conf', 'nova.conf.d/brick.conf'])
def test_a_volume_is_detached_by_a_note_in_the_place_of_its_service(
    more: str,
    host: fake_host.Host,  # noqa: F811
    shell: Shell,
    props: str,
    state_path: str,
) -> None:
    """The note goes, too, wherever the service is told to have it."""
    assert shell.run('attach', props) == Exit.OK
    place = notes_of_nova(state_path)
    configured(host, 'nova', '[DEFAULT]\n')
    assert shell.run('detach', VOLUME) == Exit.NOT_THERE
    host.tree.file(f'/etc/nova/{more or "nova.conf"}', f'[os_brick]\nstate_path = {place}\n')
    assert shell.run('detach', VOLUME) == Exit.OK, shell.err
    assert not list(place.glob(f'{notes.NOTE}*'))


def test_a_volume_of_a_service_with_other_locks_is_left_alone(
    host: fake_host.Host,  # noqa: F811
    shell: Shell,
    props: str,
    state_path: str,
) -> None:
    """By the configuration of one service, the volume of another: the two would not wait."""
    assert shell.run('attach', props) == Exit.OK
    place = notes_of_nova(state_path)
    locks = pathlib.Path(cfg.CONF.os_brick.lock_path)
    nova = configured(host, 'nova', f'[os_brick]\nstate_path = {place}\nlock_path = {locks}\n')
    other = f'[os_brick]\nlock_path = {locks.with_name("others")}\n'
    cinder = configured(host, 'cinder', other)
    before = host.snapshot()
    assert shell.run('detach', VOLUME, '--config-file', cinder) == Exit.REFUSED
    assert f'{nova}, whose note it is' in shell.err
    assert shell.run('detach', VOLUME) == Exit.REFUSED
    assert host.snapshot() == before
    assert shell.run('detach', VOLUME, '--config-file', nova) == Exit.OK, shell.err


@pytest.mark.parametrize('text', ['garbled\n[', 'password = S3cret\n[os_brick]\n'])
def test_a_configuration_that_is_none_is_refused_without_a_word_of_it(
    text: str,
    host: fake_host.Host,  # noqa: F811
    shell: Shell,
    props: str,
) -> None:
    path = configured(host, 'nova', text)
    assert shell.run('attach', props) == Exit.USAGE
    assert f'{path} cannot be read: it is not a configuration.' in shell.err
    assert 'S3cret' not in shell.err


@pytest.mark.parametrize(
    ('kind', 'data', 'text', 'remedy'),
    [
        (
            'rbd',
            {'name': 'p/v', 'keyring': 'sesame-sesame', 'hosts': ['10.0.0.1'], 'ports': ['6789']},
            'auth_username: missing',
            'Correct the connection properties.',
        ),
        (
            'nfs',
            {'export': '10.0.0.9:/v', 'name': 'volume-1'},
            'nfs_mount_point_base',
            'mount_point_base beside data',
        ),
    ],
)
def test_what_is_missing_is_told_and_is_not_a_secret(
    kind: str,
    data: dict[str, Any],
    text: str,
    remedy: str,
    host: fake_host.Host,  # noqa: F811
    shell: Shell,
) -> None:
    host.tree.file(PROPS, json.dumps({'driver_volume_type': kind, 'data': data}))
    assert shell.run('attach', '--plan', PROPS) == Exit.USAGE
    assert text in shell.err
    assert remedy in shell.err
    assert 'sesame' not in shell.out + shell.err


class TestNvme:
    """The same of a namespace: a host with NVMe over fabrics."""

    @pytest.fixture
    def fabric(self, tmp_path: pathlib.Path) -> Iterator[nvme.StrikingFabric]:
        with nvme.striking(tmp_path) as found:
            yield found

    @pytest.fixture
    def volume(self, fabric: nvme.StrikingFabric) -> nvme.Volume:
        """A volume of two portals; the file has its properties."""
        subsystem = fabric.subsystem('planned', portals=2)
        found = subsystem.namespaces[1] = nvme.Volume('gold')
        self.write(fabric, subsystem.properties(1, volume_id=VOLUME, dhchap_secret=KEY))
        return found

    @staticmethod
    def write(fabric: nvme.StrikingFabric, data: dict[str, Any]) -> None:
        fabric.file(PROPS, json.dumps({'driver_volume_type': 'nvmeof', 'data': data}))
        fabric.root.joinpath(PROPS[1:]).chmod(0o600)

    def test_what_is_expected_is_not_ignored(
        self, fabric: nvme.StrikingFabric, shell: Shell, volume: nvme.Volume
    ) -> None:
        """A namespace has no WWID: whatever was there was attached."""
        before = fabric.snapshot()
        assert shell.run('attach', PROPS, '--expect', '36001405' + 'f' * 25) == Exit.USAGE
        assert 'vol_uuid' in shell.err
        assert fabric.snapshot() == before

    def test_what_is_applied_is_what_was_shown(
        self, fabric: nvme.StrikingFabric, shell: Shell, volume: nvme.Volume, state_path: str
    ) -> None:
        before = fabric.snapshot()
        assert shell.run('attach', PROPS, '--plan') == Exit.OK
        known = shell.out.rpartition('\nplan ')[2].split()[0]
        lines = shell.out.splitlines()
        assert any(line.startswith('now ') and 'no controller' in line for line in lines)
        assert any('connect ' in line and 'else: disconnect' in line for line in lines)
        assert any(line.startswith('could ') for line in lines)
        assert KEY not in shell.out
        assert shell.run('attach', PROPS, '--plan', '-f', 'json') == Exit.OK
        assert shell.document['id'] == known
        assert fabric.snapshot() == before
        assert notes.every(state_path) == notes.Noted()
        assert shell.run('attach', PROPS, '--apply', known) == Exit.OK
        head = shell.out.strip().removeprefix('/dev/')
        assert head == fabric.head('nvme0', 1)
        attached = fabric.snapshot()
        assert shell.run('attach', PROPS, '--apply', known) == Exit.REFUSED
        assert 'nothing was done' in shell.err
        assert fabric.snapshot() == attached
        # By the identity that the note has.
        assert shell.run('detach', f'uuid.{volume.uuid}', '--plan', '-f', 'json') == Exit.OK
        assert shell.run('detach', VOLUME, '--apply', shell.document['id']) == Exit.OK
        assert fabric.snapshot() == before

    @pytest.mark.usefixtures('volume')
    def test_a_host_that_has_changed(self, fabric: nvme.StrikingFabric, shell: Shell) -> None:
        """A controller that someone has connected, another name of the host, another portal."""
        (subsystem,) = fabric.subsystems.values()
        for change in (
            lambda: fabric.by_hand(subsystem, min(subsystem.portals)),
            lambda: fabric.file('/etc/nvme/hostnqn', 'nqn.2026-11.org.lab:renamed'),
            lambda: self.write(fabric, {**subsystem.properties(1), 'portals': [PORTAL]}),
        ):
            assert shell.run('attach', PROPS, '--plan', '-f', 'json') == Exit.OK
            known = shell.document['id']
            change()
            before = fabric.snapshot()
            assert shell.run('attach', PROPS, '--apply', known) == Exit.REFUSED
            assert fabric.snapshot() == before

    def test_a_mirror(self, fabric: nvme.StrikingFabric, shell: Shell) -> None:
        subsystem = fabric.subsystem('mirror')
        volume = subsystem.namespaces[1] = nvme.Volume('gold')
        one = subsystem.properties(1)
        mirror = {'alias': 'gold', 'replica_count': 2, 'volume_replicas': [one, one]}
        self.write(fabric, {'vol_uuid': volume.uuid, **mirror})
        before = fabric.snapshot()
        assert shell.run('attach', PROPS, '--plan') == Exit.OK
        assert 'have array run           object=gold   else: stop it' in shell.out
        assert 'all members are blank: an array is made of them' in shell.out
        assert shell.run('attach', PROPS, '--apply', '00000000') == Exit.REFUSED
        assert fabric.snapshot() == before
