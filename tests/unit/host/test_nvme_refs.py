# SPDX-License-Identifier: Apache-2.0
"""Who uses a controller is remembered for as long as it is true."""

from collections.abc import Iterator
import dataclasses
import os
import pathlib
from typing import Any

from oslo_config import cfg
import pytest

from os_brick.core import files, locks
from os_brick.host import nvme, nvme_refs
from os_brick.model import fabrics
from tests.unit.fakehost import tree as fake_tree

PORTAL = fabrics.NvmePortal.parse('10.0.0.1', 4420, 'tcp')
PLACE = '/sys/class/nvme-fabrics/ctl/nvme0'
NOTHING = nvme_refs.References()


class Host:
    """A host with one controller."""

    def __init__(self, root: pathlib.Path) -> None:
        self.tree = fake_tree.Tree(root)
        self.tree.directory(PLACE)
        self.locks = root.parent / 'locks'

    @property
    def controller(self) -> fabrics.Controller:
        number = nvme.number_of('nvme0')
        return fabrics.Controller('nvme0', 'nqn.2026-11.org.example:a', PORTAL, '7', number=number)

    def states(self) -> list[pathlib.Path]:
        return sorted(self.locks.glob('*-state-*'))


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[Host]:
    (tmp_path / 'locks').mkdir()
    cfg.CONF.set_override('lock_path', str(tmp_path / 'locks'), group='os_brick')
    found = Host(tmp_path / 'root')
    with files.use(str(tmp_path / 'root')):
        yield found
    cfg.CONF.clear_override('lock_path', group='os_brick')


def created(controller: fabrics.Controller, token: str) -> None:
    """An attach has made a controller."""
    with nvme_refs.intended(controller.lock, token, controller.host_nqn):
        pass


def attached(**names: list[tuple[str, str]]) -> dict[str, tuple[nvme_refs.Use, ...]]:
    return {name: tuple(nvme_refs.Use(*use) for use in uses) for name, uses in names.items()}


def test_a_life(host: Host) -> None:
    one = host.controller
    assert nvme_refs.read(one) == NOTHING
    with locks.lifeline() as token:
        created(one, token)
        assert nvme_refs.read(one).coming == {token}
        nvme_refs.confirm(one, 'volume', token, 'gold')
    known = nvme_refs.References(attached=attached(gold=[('volume', token)]), is_made=True)
    assert nvme_refs.read(one) == known
    released = nvme_refs.References(released=frozenset({'gold'}), is_made=True)
    assert nvme_refs.release(one, {'gold'}) == nvme_refs.read(one) == released
    nvme_refs.forget(one)
    assert not host.states()


def test_the_second_of_two_attaches_keeps_a_namespace(host: Host) -> None:
    """The first is taken back when the second has found the namespace already, and so the other
    way round; a detach is for both."""
    one = host.controller
    for first, second in (('1', '2'), ('2', '1')):
        nvme_refs.confirm(one, 'volume', '1', 'gold')
        nvme_refs.confirm(one, 'volume', '2', 'gold')
        left = nvme_refs.withdraw(one, first)
        assert left.attached == attached(gold=[('volume', second)])
        assert nvme_refs.withdraw(one, second) == NOTHING
    nvme_refs.confirm(one, 'volume', '1', 'gold')
    nvme_refs.confirm(one, 'volume', '2', 'gold')
    assert not nvme_refs.release(one, {'gold'}).attached


def test_foreign_is_what_was_attached_as_other_volumes_only(host: Host) -> None:
    one = host.controller
    nvme_refs.confirm(one, 'volume', '1', 'gold')
    known = nvme_refs.read(one)
    assert known.is_foreign('gold', 'other')
    assert not known.is_foreign('gold', 'volume')
    assert not known.is_foreign('silver', 'other')


def test_attaches_are_counted_up_to_a_limit(host: Host) -> None:
    for number in range(40):
        nvme_refs.confirm(host.controller, 'volume', str(number), 'gold')
    uses = nvme_refs.read(host.controller).attached['gold']
    assert [use.token for use in uses] == [str(number) for number in range(24, 40)]


def test_an_attach_that_is_killed_keeps_nothing(host: Host) -> None:
    """Whatever PID it had: a process of another container is seen as well as one of this."""
    ready, there = os.pipe()
    child = os.fork()
    if not child:
        with locks.lifeline() as token:
            nvme_refs.acquire(host.controller, token)
            os.write(there, b'.')
            os.read(os.pipe()[0], 1)
    os.read(ready, 1)
    assert nvme_refs.read(host.controller).coming
    os.kill(child, 9)
    os.waitpid(child, 0)
    assert not nvme_refs.read(host.controller).coming


def test_a_controller_whose_attach_was_killed_is_known_to_be_made(host: Host) -> None:
    """Between the kernel's answer and the first entry about it."""
    created(host.controller, '1')
    known = nvme_refs.References(is_made=True)
    assert nvme_refs.read(host.controller) == known
    assert nvme_refs.withdraw(host.controller, '2') == known
    nvme_refs.forget(host.controller)
    assert not host.states()


def test_an_attach_that_was_killed_before_it_made_one_is_forgotten(host: Host) -> None:
    created(host.controller, '1')
    with locks.lifeline() as token:
        created(host.controller, token)
        nvme_refs.forget_gone(host.controller.lock)
        assert nvme_refs.read(host.controller).coming == {token}
        nvme_refs.forget_gone(host.controller.lock, token)
        assert not host.states()
        created(host.controller, token)
    nvme_refs.forget_gone(host.controller.lock)
    assert not host.states()


def test_an_attach_that_makes_none_is_forgotten(host: Host) -> None:
    one = host.controller

    def fail(token: str) -> None:
        with nvme_refs.intended(one.lock, token, ''):
            assert nvme_refs.read(one).coming == {token}
            raise KeyboardInterrupt

    with locks.lifeline() as token, pytest.raises(KeyboardInterrupt):
        fail(token)
    assert nvme_refs.read(one) == NOTHING
    assert not host.states()


def test_a_controller_by_another_name_of_this_host_is_not_meant(host: Host) -> None:
    with nvme_refs.intended(host.controller.lock, '1', 'nqn.2026-11.org.example:host'):
        pass
    assert nvme_refs.read(host.controller) == NOTHING
    nvme_refs.confirm(host.controller, 'volume', '2', 'gold')
    assert not nvme_refs.read(host.controller).is_made
    meant = dataclasses.replace(
        host.controller, name='nvme9', host_nqn='nqn.2026-11.org.example:host'
    )
    assert nvme_refs.read(meant).is_made


@pytest.mark.parametrize('intent', ['5', '[]', '{}', '{"": 1}', '{"nqn.other": "1"}'])
def test_an_intent_of_another_release_says_nothing(host: Host, intent: str) -> None:
    created(host.controller, '1')
    (file,) = host.states()
    old = '{"": "1"}'
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, intent))
    assert nvme_refs.read(host.controller) == NOTHING
    nvme_refs.forget_gone(host.controller.lock)
    assert not host.states()


def test_a_later_controller_of_the_same_name_and_id(host: Host) -> None:
    with locks.lifeline() as token:
        created(host.controller, token)
        nvme_refs.acquire(host.controller, token)
        assert nvme_refs.read(host.controller) != NOTHING
        (host.tree.root / PLACE.lstrip('/')).rename(host.tree.root / 'gone')
        host.tree.directory(PLACE)
        assert nvme_refs.read(host.controller) == NOTHING


@pytest.mark.parametrize('text', ['{', '[]', '{"controller": 1}', 'null'])
def test_half_a_file_says_nothing(host: Host, text: str) -> None:
    nvme_refs.acquire(host.controller, 'ab')
    (file,) = host.states()
    file.write_text(text)
    assert nvme_refs.read(host.controller) == NOTHING


@pytest.mark.parametrize('broken', ['attached', 'coming', 'released', 'made'])
def test_a_state_of_another_release_says_nothing(host: Host, broken: str) -> None:
    nvme_refs.confirm(host.controller, 'volume', '1', 'gold')
    (file,) = host.states()
    file.write_text(file.read_text().replace(f'"{broken}"', '"other"'))
    assert nvme_refs.read(host.controller) == NOTHING


def test_another_controller_at_the_portal_is_not_forgotten(host: Host) -> None:
    """This host may have two names, and a controller by each."""
    one = host.controller
    host.tree.directory(PLACE.replace('nvme0', 'nvme1'))
    two = dataclasses.replace(one, name='nvme1', number=nvme.number_of('nvme1'))
    nvme_refs.confirm(one, 'volume', '1', 'gold')
    nvme_refs.confirm(two, 'volume', '2', 'gold')
    nvme_refs.forget_gone(one.lock)
    assert nvme_refs.read(one).attached == attached(gold=[('volume', '1')])
    host.tree.remove(PLACE)
    nvme_refs.forget_gone(one.lock)
    assert nvme_refs.read(one) == NOTHING
    assert nvme_refs.read(two).attached == attached(gold=[('volume', '2')])
    assert nvme_refs.is_known(one.lock)
    nvme_refs.forget(two)
    assert not nvme_refs.is_known(one.lock)
    assert not host.states()


@pytest.mark.parametrize('change', [nvme_refs.acquire, created])
def test_what_has_gone_by_itself_is_forgotten_with_the_next_change(host: Host, change: Any) -> None:
    old = host.controller
    nvme_refs.confirm(old, 'volume', '1', 'gold')
    host.tree.remove(PLACE)
    host.tree.directory(PLACE.replace('nvme0', 'nvme4'))
    new = dataclasses.replace(old, name='nvme4', number=nvme.number_of('nvme4'))
    with locks.lifeline() as token:
        change(new, token)
        assert 'gold' not in host.states()[0].read_text()
    nvme_refs.forget(new)
    assert not host.states()


def test_what_is_dropped_is_not_released(host: Host) -> None:
    """So no later failure disconnects a controller that is another program's."""
    one = host.controller
    with locks.lifeline() as token:
        nvme_refs.confirm(one, 'volume', token, 'gold')
        nvme_refs.confirm(one, 'other', token, 'silver')
    nvme_refs.drop(one, ['gold', 'unknown'])
    known = nvme_refs.read(one)
    assert set(known.attached) == {'silver'}
    assert not known.released
    nvme_refs.drop(one, ['silver'])
    assert nvme_refs.read(one) == NOTHING
    assert not host.states()
