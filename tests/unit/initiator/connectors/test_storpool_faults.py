# SPDX-License-Identifier: Apache-2.0
"""StorPool with a fault at each request and at each act: what is left, and the life after it."""

from collections.abc import Callable, Iterator
import dataclasses
import time
from typing import Any

from oslo_config import cfg
import pytest

from os_brick import exception
from os_brick.initiator import storpool_utils
from os_brick.initiator.connectors import storpool
from tests.doubles import storpool as double
from tests.unit.fakehost import host as fake_host
from tests.unit.fakehost import storpool as fake_storpool

MEBI = 1 << 20
# What one of these does not do has no effect.
AT_ONCE = ['refused', 'transient', 'html', 'list', 'redirect', 'reset', 'lost', 'half']
# A repeated request heals it, where nothing is wrong with it any more.
HEALS = {'transient', 'reset', 'lost', 'half', 'html'}
REQUESTS = {'attach': 4, 'extend': 3, 'detach': 2}
StorPool = fake_storpool.StorPool


@pytest.fixture
def cluster(host: fake_host.Host) -> Iterator[StorPool]:
    with fake_storpool.on(host) as found:
        yield found


@pytest.fixture
def short() -> Iterator[None]:
    """Operations end soon: the server's time is real."""
    cfg.CONF.set_override('operation_timeout', 0.6, group='os_brick')
    yield
    cfg.CONF.clear_override('operation_timeout', group='os_brick')


@dataclasses.dataclass
class Life:
    """One volume, and the operation that something goes wrong in."""

    cluster: StorPool
    what: str

    def __post_init__(self) -> None:
        self.connector = storpool.StorPoolConnector(None)
        self.volume = self.cluster.volume()
        self.props = self.cluster.properties()
        self.clean = self.cluster.host.snapshot()
        self.info: Any = None
        if self.what != 'attach':
            self.info = self.connector.connect_volume(self.props)
        if self.what == 'extend':
            self.cluster.state.grow(self.volume, 2 * MEBI)
        self.before = self.cluster.host.snapshot()
        self.first = len(self.cluster.server.requests)

    def act(self, **flags: bool) -> Exception | None:
        calls: dict[str, Callable[[], object]] = {
            'attach': lambda: self.connector.connect_volume(self.props),
            'extend': lambda: self.connector.extend_volume(self.props),
            'detach': lambda: self.connector.disconnect_volume(self.props, self.info, **flags),
        }
        try:
            calls[self.what]()
        except (exception.BrickException, OSError) as error:
            return error
        return None

    def require_whole(self, error: Exception | None) -> None:
        """Have it be done, or not done at all, whatever went wrong."""
        attached = self.cluster.attached()
        if self.what == 'attach':
            assert attached == ({} if error else {self.volume.global_id: 'rw'})
            if error:
                assert self.cluster.host.snapshot() == self.clean
        if self.what == 'extend':
            assert attached == {self.volume.global_id: 'rw'}
        if self.what == 'detach' and not error:
            assert attached == {}

    def require_second_life(self) -> None:
        """Have what follows find nothing in its way, and nothing left when it has ended."""
        self.cluster.server.heal()
        info = self.connector.connect_volume(self.props)
        assert self.connector.extend_volume(self.props) == self.volume.size
        self.connector.disconnect_volume(self.props, info)
        assert self.cluster.attached() == {}
        assert self.cluster.host.snapshot() == self.clean


@pytest.mark.parametrize('what', REQUESTS)
def test_how_many_requests(cluster: StorPool, what: str) -> None:
    """So many are tried below; reference: two to attach, one to detach, one to extend."""
    life = Life(cluster, what)
    assert life.act() is None
    assert len(cluster.server.requests) - life.first == REQUESTS[what]


@pytest.mark.parametrize('how', AT_ONCE)
@pytest.mark.parametrize('what', REQUESTS)
def test_a_fault_at_each_request(cluster: StorPool, what: str, how: str) -> None:
    for number in range(REQUESTS[what]):
        life = Life(cluster, what)
        cluster.server.fail(number, how)
        error = life.act()
        assert cluster.server.struck.startswith(how)
        assert bool(error) is (how not in HEALS)
        life.require_whole(error)
        life.require_second_life()
        del cluster.state.volumes[life.volume.global_id]


@pytest.mark.parametrize('how', ['refused', 'reset', 'lost', 'html', 'half'])
@pytest.mark.parametrize('what', REQUESTS)
def test_a_cluster_that_is_broken_from_a_request_on(cluster: StorPool, what: str, how: str) -> None:
    """Nothing can be taken back then: so it is for a process that is killed there, too.

    ``lost`` is one that is killed after the cluster has done what it was asked.
    """
    for number in range(REQUESTS[what]):
        life = Life(cluster, what)
        cluster.server.fail(number, f'{how} from here')
        error = life.act()
        assert error is not None
        assert how in cluster.server.struck
        life.require_second_life()
        del cluster.state.volumes[life.volume.global_id]


@pytest.mark.parametrize('how', ['hung', 'late'])
@pytest.mark.parametrize('what', REQUESTS)
def test_a_cluster_that_takes_a_request_and_never_answers(
    cluster: StorPool, short: None, what: str, how: str
) -> None:
    """It ends with its deadline; what it has made, if it has made anything, is taken back."""
    for number in range(REQUESTS[what]):
        with_time(120)
        life = Life(cluster, what)
        with_time(0.6)
        cluster.server.fail(number, how)
        begun = time.monotonic()
        error = life.act()
        assert time.monotonic() - begun < 3
        assert isinstance(error, exception.OperationTimedOut)
        with_time(120)
        life.require_whole(error)
        life.require_second_life()
        del cluster.state.volumes[life.volume.global_id]


def with_time(seconds: float) -> None:
    cfg.CONF.set_override('operation_timeout', seconds, group='os_brick')


@pytest.mark.parametrize('what', REQUESTS)
def test_a_cluster_that_answers_nothing_any_more(cluster: StorPool, short: None, what: str) -> None:
    with_time(120)
    life = Life(cluster, what)
    with_time(0.6)
    cluster.server.fail(1, 'hung from here')
    begun = time.monotonic()
    assert life.act() is not None
    assert time.monotonic() - begun < 4
    with_time(120)
    life.require_second_life()


def test_answer_of_100_megabytes(cluster: StorPool) -> None:
    life = Life(cluster, 'attach')
    cluster.server.fail(0, 'huge from here')
    error = life.act()
    assert isinstance(error, exception.StorageServerError)
    assert 'too large' in str(error)
    life.require_whole(error)
    life.require_second_life()


@pytest.mark.parametrize('seconds', [3, 25])
@pytest.mark.parametrize('what', REQUESTS)
def test_a_service_that_restarts(cluster: StorPool, what: str, seconds: float) -> None:
    """It is away for a while when it is asked, as in a failover to another node."""
    life = Life(cluster, what)
    cluster.server.stop()
    cluster.host.clock.after(seconds, cluster.server.start)
    assert life.act() is None
    life.require_whole(None)
    life.require_second_life()


@pytest.mark.parametrize('what', REQUESTS)
def test_a_service_that_is_away(cluster: StorPool, what: str) -> None:
    life = Life(cluster, what)
    cluster.server.stop()
    error = life.act()
    assert isinstance(error, exception.StorageServerUnreachable)
    cluster.server.start()
    life.require_whole(error)
    life.require_second_life()


@pytest.mark.parametrize('how', ['refused', 'reset', 'hung'])
def test_forced_detach(cluster: StorPool, how: str) -> None:
    """What fails is raised at the end, or only logged; nothing else is left out for it."""
    life = Life(cluster, 'detach')
    cluster.server.fail(1, f'{how} from here')
    if how == 'hung':
        with_time(0.6)
    error = life.act(force=True)
    assert isinstance(error, exception.ExceptionChainer)
    assert life.act(force=True, ignore_errors=True) is None
    with_time(120)
    life.require_second_life()
    cfg.CONF.clear_override('operation_timeout', group='os_brick')


# Acts on the host: an attach reads the device, a detach asks who has claimed it and flushes it.
@pytest.mark.parametrize('how', ['refused', 'hung', 'late', 'killed', 'interrupted'])
@pytest.mark.parametrize(('what', 'acts'), [('attach', 1), ('extend', 0), ('detach', 2)])
def test_a_fault_at_each_act(cluster: StorPool, what: str, acts: int, how: str) -> None:
    life = Life(cluster, what)
    count = len(cluster.host.acts)
    assert life.act() is None
    assert len(cluster.host.acts) - count == acts
    life.require_second_life()
    for number in range(acts):
        del cluster.state.volumes[life.volume.global_id]
        life = Life(cluster, what)
        cluster.host.fail(number, how)
        if how == 'interrupted':
            with pytest.raises(KeyboardInterrupt):
                life.act()
            life.require_whole(Exception())
        else:
            life.require_whole(life.act())
        cluster.host.fail(10**6, how)
        life.require_second_life()


@pytest.mark.parametrize('interrupt', [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize('number', [1, 2, 3])
def test_interrupted_after_the_cluster_was_asked(
    cluster: StorPool, interrupt: type[BaseException], number: int
) -> None:
    """Before the second request and after it, the interrupt comes from a wait on this host."""
    life = Life(cluster, 'attach')
    cluster.client.device_seconds = 5 * number
    cluster.host.clock.after(5 * number - 1, lambda: _raise(interrupt))
    with pytest.raises(interrupt):
        life.connector.connect_volume(life.props)
    life.require_whole(Exception())
    cluster.client.device_seconds = 0.02
    life.require_second_life()


def _raise(error: type[BaseException]) -> None:
    raise error


@pytest.mark.parametrize(
    'data',
    [
        None,
        [],
        {},
        {'globalId': 'zx4.b.1'},
        {'size': MEBI},
        {'globalId': '../../sda', 'size': MEBI},
        {'globalId': 'zx4.b.1', 'size': '1'},
        {'globalId': 'zx4.b.1', 'size': True},
        {'globalId': 5, 'size': MEBI},
    ],
)
def test_info_that_cannot_be_used(cluster: StorPool, monkeypatch: Any, data: Any) -> None:
    life = Life(cluster, 'attach')
    monkeypatch.setattr(cluster.state, 'info', lambda volume: data)
    error = life.act()
    assert isinstance(error, storpool_utils.StorPoolAPIError)
    assert 'VolumeGetInfo of os--volume-v1' in str(error)
    monkeypatch.undo()
    life.require_whole(error)
    life.require_second_life()


@pytest.mark.parametrize('data', [None, {}, 'text'])
def test_attachments_that_cannot_be_used(cluster: StorPool, monkeypatch: Any, data: Any) -> None:
    life = Life(cluster, 'attach')
    key = ('GET', '(?:MultiCluster/)?AttachmentsList')
    monkeypatch.setitem(double._CALLS, key, lambda state, body: data)
    error = life.act()
    assert isinstance(error, storpool_utils.StorPoolAPIError)
    monkeypatch.undo()
    life.require_whole(error)
    life.require_second_life()


def test_steps_can_be_written_down_and_run_by_another_process(cluster: StorPool) -> None:
    """No secret is in them: the configuration is read again."""
    from os_brick.core import undo

    steps: list[Any] = []
    before = undo.Undo.take_back

    def note(self: undo.Undo) -> None:
        steps.extend(self.steps())
        self.drop()

    life = Life(cluster, 'attach')
    cluster.client.makes_devices = False
    undo.Undo.take_back = note  # type: ignore[method-assign]
    try:
        assert life.act() is not None
    finally:
        undo.Undo.take_back = before  # type: ignore[method-assign]
    assert cluster.attached() == {life.volume.global_id: 'rw'}
    assert double.TOKEN not in repr(steps)
    assert undo.replay(steps) == []
    assert cluster.attached() == {}
