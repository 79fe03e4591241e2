# SPDX-License-Identifier: Apache-2.0
"""Open CAS, with a casadm that keeps cache instances and prints them as the real one does."""

from collections.abc import Iterator
import os
import pathlib
import threading
from typing import Any

from oslo_concurrency import processutils
from oslo_config import cfg
import pytest

from os_brick import caches, exception
from os_brick.caches import opencas
from os_brick.core import files, process
from tests.unit.fakehost import casadm


class Killed(BaseException):
    """The service is killed: nothing of it runs any more."""


@pytest.fixture
def cas(tmp_path: pathlib.Path) -> Iterator[casadm.Casadm]:
    """A host with the disks sda, sda1, sdb and a map, and a running cache instance 1."""
    (tmp_path / 'dev/disk/by-id').mkdir(parents=True)
    links = {
        'sda': ['scsi-36000', 'wwn-0x6000', 'ata-name', 'os-brick+dev+sda'],
        'sda1': ['wwn-0x6000-part1', 'scsi-36000-part1'],
        'sdb': ['scsi-36001'],
        'dm-3': ['wwn-0x7000', 'dm-uuid-mpath-37000', 'dm-name-mpatha'],
        'ram0': [],
    }
    for name, its in links.items():
        (tmp_path / 'dev' / name).touch()
        for link in its:
            (tmp_path / 'dev/disk/by-id' / link).symlink_to(f'../../{name}')
    (tmp_path / 'locks').mkdir()
    cfg.CONF.set_override('lock_path', str(tmp_path / 'locks'), group='os_brick')
    programs = casadm.Casadm(str(tmp_path))
    programs.cache(1)
    with files.use(str(tmp_path)), process.use(programs):
        yield programs
    cfg.CONF.clear_override('lock_path', group='os_brick')


def _engine(number: Any = '1') -> opencas.OpenCASEngine:
    return opencas.OpenCASEngine(root_helper='helper', opencas_cache_id=number)


def _attach(device: str, number: Any = '1') -> str:
    return _engine(number).attach_volume(dev_path=device)


def _changes(cas: casadm.Casadm) -> list[str]:
    return [command for command in cas.commands if ' -L ' not in command]


def _cores(cas: casadm.Casadm, number: int = 1) -> list[str]:
    return [core.path for core in cas.caches[number].cores.values()]


class TestReady:
    @pytest.mark.parametrize(
        ('status', 'ready'),
        [
            ('Running', True),
            ('Not running', False),
            ('Incomplete', False),
            ('Initializing', False),
            ('Standby', False),
            ('Standby detached', False),
            ('Flushing (10.0 %)', False),
            ('Stopping', False),
        ],
    )
    def test_only_a_running_instance_is(self, cas: casadm.Casadm, status: str, ready: bool) -> None:
        cas.cache(1, status=status)
        cas.cache(2)
        assert _engine().is_engine_ready() is ready

    @pytest.mark.parametrize('number', [1, '1'])
    def test_the_number_may_be_text(self, cas: casadm.Casadm, number: Any) -> None:
        assert _engine(number).is_engine_ready()

    def test_not_one_whose_number_only_starts_so(self, cas: casadm.Casadm) -> None:
        cas.caches.clear()
        assert not _engine().is_engine_ready()
        cas.cache(11)
        assert not _engine().is_engine_ready()

    @pytest.mark.parametrize('number', [None, '', 'one', 0, -1, 16385, '1 2', '1.5', '²'])
    def test_what_is_not_a_number(self, cas: casadm.Casadm, number: Any) -> None:
        with pytest.raises(exception.Invalid, match='opencas_cache_id'):
            _engine(number).is_engine_ready()
        with pytest.raises(exception.Invalid, match='opencas_cache_id'):
            _attach('/dev/sda', number)
        assert cas.commands == []

    def test_open_cas_is_not_installed(self, cas: casadm.Casadm) -> None:
        def missing(_command: str) -> None:
            raise FileNotFoundError(2, 'No such file or directory: casadm')

        cas.before = missing
        with pytest.raises(processutils.ProcessExecutionError, match='casadm'):
            _engine().is_engine_ready()

    def test_output_that_is_not_a_list_is_not_an_empty_one(self, cas: casadm.Casadm) -> None:
        engine = opencas.OpenCASEngine(
            root_helper='', opencas_cache_id=1, execute=lambda *_words, **_keys: ('Usage: x', '')
        )
        with pytest.raises(exception.BrickException, match='Usage: x'):
            engine.is_engine_ready()


class TestAttach:
    @pytest.mark.parametrize(
        ('given', 'added'),
        [
            ('/dev/sda', 'wwn-0x6000'),
            ('/dev/disk/by-id/os-brick+dev+sda', 'wwn-0x6000'),
            ('/dev/disk/by-id/ata-name', 'wwn-0x6000'),
            ('/dev/sda1', 'wwn-0x6000-part1'),
            ('/dev/sdb', 'scsi-36001'),
            ('/dev/dm-3', 'dm-uuid-mpath-37000'),
        ],
    )
    def test_a_device_is_added_by_a_name_that_stays(
        self, cas: casadm.Casadm, given: str, added: str
    ) -> None:
        assert _attach(given) == '/dev/cas1-1'
        assert _cores(cas) == [f'/dev/disk/by-id/{added}']

    def test_a_device_without_such_a_name(self, cas: casadm.Casadm) -> None:
        assert _attach('/dev/ram0') == '/dev/cas1-1'
        assert _cores(cas) == ['/dev/ram0']

    def test_a_disk_and_its_partition_are_two(self, cas: casadm.Casadm) -> None:
        cas.add(1, '/dev/disk/by-id/wwn-0x6000-part1')
        assert _attach('/dev/sda') == '/dev/cas1-2'

    def test_eleven_cores(self, cas: casadm.Casadm) -> None:
        for number in range(2, 12):
            cas.add(1, f'/dev/gone{number}', number)
        assert _attach('/dev/sda') == '/dev/cas1-1'

    def test_in_the_instance_that_is_configured(self, cas: casadm.Casadm) -> None:
        cas.cache(2)
        cas.cache(12)
        assert _attach('/dev/sda', 2) == '/dev/cas2-1'
        assert _attach('/dev/sdb', 1) == '/dev/cas1-1'

    @pytest.mark.parametrize('given', [None, '', 'sda', '/dev/sdz', object()])
    def test_no_such_device(self, cas: casadm.Casadm, given: Any) -> None:
        with pytest.raises(exception.VolumePathsNotFound):
            _engine().attach_volume(dev_path=given)
        assert cas.commands == []

    def test_a_core_of_the_pool_is_not_attached(self, cas: casadm.Casadm) -> None:
        cas.pool.append('/dev/sdb')
        assert _attach('/dev/sda') == '/dev/cas1-1'

    @pytest.mark.parametrize('cache', [1, 2])
    @pytest.mark.parametrize('state', [{}, {'is_exported': False, 'status': 'Inactive'}])
    def test_a_core_from_before_is_neither_used_nor_removed(
        self, cas: casadm.Casadm, cache: int, state: dict[str, Any]
    ) -> None:
        """Its blocks may be older than the volume, or newer."""
        cas.cache(2)
        cas.add(cache, '/dev/disk/by-id/scsi-36000', 7, **state)
        with pytest.raises(exception.BrickException, match=f'casadm -R -i {cache} -j 7'):
            _attach('/dev/sda')
        assert _changes(cas) == []

    def test_casadm_refuses_it(self, cas: casadm.Casadm) -> None:
        with pytest.raises(processutils.ProcessExecutionError, match='cache instance 9'):
            _attach('/dev/sda', 9)
        assert _attach('/dev/sda') == '/dev/cas1-1'

    def test_a_refused_attach_leaves_no_right_to_a_core(self, cas: casadm.Casadm) -> None:
        cas.before = lambda command: cas.caches.clear() if ' -A ' in command else None
        with pytest.raises(processutils.ProcessExecutionError):
            _attach('/dev/sda')
        cas.before = lambda _command: None
        cas.cache(1)
        cas.add(1, '/dev/disk/by-id/scsi-36000')
        with pytest.raises(exception.BrickException, match='casadm -R -i 1 -j 1'):
            _attach('/dev/sda')
        assert len(_cores(cas)) == 1

    def test_two_at_once(self, cas: casadm.Casadm) -> None:
        """One of them gets it, the other is told so, and nothing is taken back."""
        said: list[str] = []

        def attach() -> None:
            try:
                said.append(_attach('/dev/sda'))
            except exception.BrickException:
                said.append('refused')

        threads = [threading.Thread(target=attach) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(said) == ['/dev/cas1-1', 'refused']
        assert len(_cores(cas)) == 1


class TestInterruptedAttach:
    @pytest.mark.parametrize('state', [{'is_exported': False}, None])
    def test_no_cached_device_appears(self, cas: casadm.Casadm, state: Any) -> None:
        def spoil(command: str) -> None:
            if ' -A ' in command:
                core = cas.caches[1].cores.popitem()[1]
                os.unlink(f'{cas.root}/dev/cas1-1')
                if state is not None:
                    cas.add(1, core.path, **state)

        cas.after = spoil
        with pytest.raises(exception.BrickException, match='has no cached device'):
            _attach('/dev/sda')
        assert _cores(cas) == []
        cas.after = lambda _command: None
        assert _attach('/dev/sda') == '/dev/cas1-1'

    @pytest.mark.parametrize(
        ('where', 'error'),
        [
            ('before', process.TimeLimit()),
            ('after', process.TimeLimit()),
            ('after', KeyboardInterrupt()),
            ('before', KeyboardInterrupt()),
        ],
    )
    @pytest.mark.parametrize('at', [' -A ', ' -L '])
    def test_what_was_added_is_taken_back(
        self, cas: casadm.Casadm, where: str, error: BaseException, at: str
    ) -> None:
        def fail(command: str) -> None:
            if at in command and (at == ' -A ' or _changes(cas)):
                cas.before = cas.after = lambda _command: None
                raise error

        setattr(cas, where, fail)
        with pytest.raises((exception.ExecutionTimeout, KeyboardInterrupt)):
            _attach('/dev/sda')
        assert _cores(cas) == []
        assert _attach('/dev/sda') == '/dev/cas1-1'

    @pytest.mark.parametrize('is_for_ever', [False, True])
    def test_casadm_lists_nothing_after_it_has_added(
        self, cas: casadm.Casadm, is_for_ever: bool
    ) -> None:
        """It has failed, but not to add: what was added goes, now or with the next attach."""

        def fail(command: str) -> None:
            if ' -L ' in command and _changes(cas):
                if not is_for_ever:
                    cas.before = lambda _command: None
                raise processutils.ProcessExecutionError(exit_code=1, stderr='no memory')

        cas.before = fail
        with pytest.raises(processutils.ProcessExecutionError, match='no memory'):
            _attach('/dev/sda')
        cas.before = lambda _command: None
        assert _cores(cas) == ([] if not is_for_ever else ['/dev/disk/by-id/wwn-0x6000'])
        assert _attach('/dev/sda') == '/dev/cas1-1'

    def test_another_tools_core_is_not_taken_back(self, cas: casadm.Casadm) -> None:
        def first(command: str) -> None:
            if ' -A ' in command:
                cas.add(1, '/dev/disk/by-id/scsi-36000')

        cas.before = first
        with pytest.raises(processutils.ProcessExecutionError, match='already added'):
            _attach('/dev/sda')
        assert _cores(cas) == ['/dev/disk/by-id/scsi-36000']

    def test_a_killed_one_is_cleared_by_the_next(self, cas: casadm.Casadm) -> None:
        def die(command: str) -> None:
            if _changes(cas):
                raise Killed

        cas.after = die
        with pytest.raises(Killed):
            _attach('/dev/sda')
        assert len(_cores(cas)) == 1
        cas.after = lambda _command: None
        assert _attach('/dev/sda') == '/dev/cas1-1'
        assert _changes(cas)[-2:] == [
            'casadm -R -i 1 -j 1',
            'casadm -A -i 1 -d /dev/disk/by-id/wwn-0x6000',
        ]

    def test_but_not_after_a_restart_of_the_host(self, cas: casadm.Casadm) -> None:
        boot = pathlib.Path(cas.root, 'proc/sys/kernel/random/boot_id')
        boot.parent.mkdir(parents=True)
        boot.write_text('one')
        self.test_a_killed_one_is_cleared_by_the_next(cas)
        _engine().detach_volume(dev_path='/dev/cas1-1')
        cas.after = lambda command: (_ for _ in ()).throw(Killed) if ' -A ' in command else None
        cas.before = lambda command: (_ for _ in ()).throw(Killed) if ' -R ' in command else None
        with pytest.raises(Killed):
            _attach('/dev/sda')
        cas.before = cas.after = lambda _command: None
        boot.write_text('two')
        with pytest.raises(exception.BrickException, match='casadm -R -i 1 -j 1'):
            _attach('/dev/sda')

    def test_what_cannot_be_taken_back_is_told(self, cas: casadm.Casadm) -> None:
        def hold(command: str) -> None:
            if ' -A ' in command:
                cas.caches[1].cores[1].is_open = True
                raise process.TimeLimit

        cas.after = hold
        with pytest.raises(exception.ExecutionTimeout) as caught:
            _attach('/dev/sda')
        assert 'stays until the next attach' in caught.value.__notes__[0]
        cas.caches[1].cores[1].is_open = False
        cas.after = lambda _command: None
        assert _attach('/dev/sda') == '/dev/cas1-1'


class TestDetach:
    def test_returns_the_device_below_and_writes_what_is_dirty(self, cas: casadm.Casadm) -> None:
        assert _engine().detach_volume(dev_path=_attach('/dev/sda')) == '/dev/sda'
        assert _cores(cas) == []
        # -f would drop what was written to the cache only.
        assert _changes(cas)[-1] == 'casadm -R -i 1 -j 1'

    def test_one_and_ten(self, cas: casadm.Casadm) -> None:
        cas.add(1, '/dev/disk/by-id/scsi-36001', 10)
        cas.add(1, '/dev/disk/by-id/scsi-36000', 1)
        assert _engine().detach_volume(dev_path='/dev/cas1-1') == '/dev/sda'
        assert _cores(cas) == ['/dev/disk/by-id/scsi-36001']

    def test_the_instance_that_has_it_counts(self, cas: casadm.Casadm) -> None:
        cas.cache(2)
        cas.add(1, '/dev/disk/by-id/scsi-36001', 1)
        cas.add(2, '/dev/disk/by-id/scsi-36000', 1)
        assert _engine(1).detach_volume(dev_path='/dev/cas2-1') == '/dev/sda'
        assert _cores(cas) == ['/dev/disk/by-id/scsi-36001']

    def test_a_link_to_it(self, cas: casadm.Casadm) -> None:
        cas.add(1, '/dev/disk/by-id/scsi-36000')
        os.symlink('../../cas1-1', f'{cas.root}/dev/disk/by-id/mine')
        assert _engine().detach_volume(dev_path='/dev/disk/by-id/mine') == '/dev/sda'

    def test_in_use(self, cas: casadm.Casadm) -> None:
        cas.add(1, '/dev/disk/by-id/scsi-36000', is_open=True)
        with pytest.raises(processutils.ProcessExecutionError, match='pending'):
            _engine().detach_volume(dev_path='/dev/cas1-1')
        assert len(_cores(cas)) == 1

    @pytest.mark.parametrize('given', ['/dev/sda', '/dev/sda1'])
    def test_what_is_not_a_cached_device(self, cas: casadm.Casadm, given: str) -> None:
        cas.add(1, '/dev/disk/by-id/scsi-36000')
        with pytest.raises(exception.BrickException, match='is not a cached device'):
            _engine().detach_volume(dev_path=given)
        assert _changes(cas) == []

    def test_gone(self, cas: casadm.Casadm) -> None:
        with pytest.raises(exception.VolumePathsNotFound):
            _engine().detach_volume(dev_path='/dev/cas1-1')


def test_the_whole_way(cas: casadm.Casadm) -> None:
    def manager(path: str) -> caches.CacheManager:
        info = {'data': {'device_path': path, 'cacheable': True}}
        return caches.CacheManager('helper', info, cache_name='opencas', opencas_cache_id='1')

    cached = manager('/dev/sda').attach_volume()
    assert cached == '/dev/cas1-1'
    assert manager(cached).detach_volume() == '/dev/sda'
    assert _cores(cas) == []
