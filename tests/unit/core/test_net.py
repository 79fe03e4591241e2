# SPDX-License-Identifier: Apache-2.0
"""Names and connections: within the deadline, one look-up at a time for a name."""

from collections.abc import Iterator
import threading

import pytest

from os_brick.core import clock, net, wait
from tests.unit.fakehost import clock as fake_clock
from tests.unit.fakehost import network as fake_network


@pytest.fixture
def network() -> Iterator[fake_network.Network]:
    time = fake_clock.Clock()
    found = fake_network.Network(time)
    with clock.use(time), net.use(found):
        yield found


def _resolve(name: str, seconds: float = 30.0) -> tuple[str, ...]:
    return net.resolve(name, wait.Deadline.after(seconds))


def test_one_look_up_for_all_that_ask(network: fake_network.Network) -> None:
    network.names['a.lab'] = ('10.0.0.1', 'fd00::1')
    threads = [threading.Thread(target=_resolve, args=('a.lab',)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert _resolve('a.lab') == ('10.0.0.1', 'fd00::1')
    assert network.lookups == ['a.lab']


def test_an_answer_grows_old(network: fake_network.Network) -> None:
    with pytest.raises(OSError, match='not known'):
        _resolve('a.lab')
    network.names['a.lab'] = ('10.0.0.1',)
    with pytest.raises(OSError, match='not known'):
        _resolve('a.lab')
    clock.sleep(net.HOLDS_SECONDS + 1)
    assert _resolve('a.lab') == ('10.0.0.1',)


class Hangs(fake_network.Network):
    """Name servers that are away for as long as a test likes."""

    def __init__(self, time: fake_clock.Clock) -> None:
        super().__init__(time)
        self.is_over = threading.Event()

    def lookup(self, name: str) -> tuple[str, ...]:
        self.lookups.append(name)
        self.is_over.wait(20)
        return ('10.0.0.1',)


@pytest.mark.parametrize(('given', 'waited'), [(0.05, 0.05), (3600, net.RESOLVE_SECONDS)])
def test_name_servers_that_are_away(
    given: float, waited: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The deadline holds, or the limit of look-ups; a second question starts no other thread."""
    monkeypatch.setattr(net, 'RESOLVE_SECONDS', min(net.RESOLVE_SECONDS, 0.1))
    network = Hangs(fake_clock.Clock())
    with net.use(network):
        for _ in range(2):
            begun = clock.monotonic()
            with pytest.raises(OSError, match='no name server answers'):
                _resolve('a.lab', given)
            assert clock.monotonic() - begun < min(waited, 0.1) + 1
        assert network.lookups == ['a.lab']
        network.is_over.set()
        assert _resolve('a.lab') == ('10.0.0.1',)


def test_why_unreachable(network: fake_network.Network) -> None:
    port = fake_network.listen('10.0.0.1')
    network.names = {'a.lab': ('10.0.0.2', '10.0.0.1')}
    network.unresponsive = {'10.0.0.3'}
    assert net.why_unreachable('10.0.0.1', port) is None
    assert net.why_unreachable('a.lab', port) is None
    assert 'refused' in str(net.why_unreachable('10.0.0.2', port))
    assert 'timed out' in str(net.why_unreachable('10.0.0.3', port))
    assert 'not known' in str(net.why_unreachable('b.lab', port))
    assert network.lookups == ['a.lab', 'b.lab']
    fake_network.close('10.0.0.1', port)


@pytest.mark.parametrize(
    ('text', 'expected'),
    [('10.0.0.1', True), ('::1', True), ('fe80::1%eth0', True), ('a.lab', False), ('1', False)],
)
def test_is_ip(text: str, expected: bool) -> None:
    assert net.is_ip(text) is expected


def test_own_addresses() -> None:
    """Of this very machine: the loopback is there, and each is an address."""
    found = net.own_addresses()
    assert ('lo', '127.0.0.1') in found
    assert all(net.is_ip(address) for _name, address in found)
