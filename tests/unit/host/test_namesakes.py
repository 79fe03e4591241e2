# SPDX-License-Identifier: Apache-2.0
"""Notes of volumes of one name: of each device that is here there is one, and no other."""

from collections.abc import Iterator
import dataclasses
import pathlib
import tempfile
from typing import Any

import hypothesis
from hypothesis import strategies as st
from oslo_config import cfg
import pytest

from os_brick.host import block, namesakes, notes
from os_brick.initiator.connectors import rbd
from os_brick.model import note
from tests.unit.fakehost import ceph

NAME = 'rbd/gold'
KEY = f'rbd {NAME}'
ACTS = st.tuples(
    st.sampled_from(('attach', 'detach', 'forget', 'extend', 'unmapped', 'older')),
    st.integers(0, 2),
)


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[ceph.RbdHost]:
    with ceph.RbdHost(tmp_path) as found:
        yield found


class History:
    """A host, and clusters that have an image of one name each."""

    def __init__(self, host: ceph.RbdHost, *, with_ids: bool) -> None:
        self.host = host
        self.clusters = [host.cluster(f'c{number}') for number in range(3)]
        for each in self.clusters:
            each.image('gold')
        self.with_ids = with_ids
        self.brick = rbd.RBDConnector(None, do_local_attach=True)
        self.infos: dict[int, dict[str, Any]] = {}

    def given(self, number: int) -> dict[str, Any]:
        more = {'volume_id': f'volume-{number}'} if self.with_ids else {}
        return self.clusters[number].properties(NAME, **more)

    def do(self, what: str, number: int) -> None:
        given, info = self.given(number), self.infos.get(number)
        if what == 'attach':
            self.infos[number] = self.brick.connect_volume(given)
        elif what in ('detach', 'forget'):
            self.brick.disconnect_volume(given, info if what == 'detach' else None)
            self.infos.pop(number, None)
        elif what == 'extend' and info is not None:
            self.brick.extend_volume(given)
        elif what == 'unmapped' and info is not None:
            # By hand, so nothing tells the note.
            self.host.forget(self.host.rbd[int(info['path'].removeprefix('/dev/rbd'))])
            del self.infos[number]

    def compare(self) -> None:
        """Each device that was handed out has its note, and no other device has one."""
        found = notes.every(cfg.CONF.os_brick.state_path)
        assert found.unread == ()
        assert not [each for each in found.notes if each.work is not None]
        here = {each.device: each for each in found.notes if namesakes.is_here(each)}
        assert here.keys() == {each['path'].removeprefix('/dev/') for each in self.infos.values()}
        for number, info in self.infos.items():
            noted = here[info['path'].removeprefix('/dev/')]
            assert noted.properties['hosts'] == self.given(number)['hosts']
            assert noted.volume_id == self.given(number).get('volume_id', '')
            assert noted.key.startswith(KEY)


@hypothesis.settings(max_examples=40)
@hypothesis.given(st.booleans(), st.lists(ACTS, max_size=10))
@hypothesis.example(True, [('attach', 0), ('attach', 1), ('detach', 0), ('attach', 0)])
@hypothesis.example(True, [('attach', 0), ('attach', 1), ('detach', 1)])
@hypothesis.example(False, [('attach', 0), ('attach', 1), ('unmapped', 0), ('attach', 1)])
@hypothesis.example(True, [('attach', 0), ('attach', 1), ('unmapped', 1), ('detach', 1)])
def test_each_device_has_its_note(with_ids: bool, acts: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as place, ceph.RbdHost(pathlib.Path(place)) as host:
        cfg.CONF.set_override('state_path', f'{place}/state', group='os_brick')
        history = History(host, with_ids=with_ids)
        for what, number in acts:
            history.do(what, number)
            history.compare()
        for number in range(3):
            history.do('forget', number)
        # Nothing is left of what was unmapped by hand, either.
        assert notes.every(f'{place}/state') == notes.Noted()


def test_the_note_of_an_older_release_is_kept_and_goes(host: ceph.RbdHost, state_path: str) -> None:
    """One that was attached before the host was upgraded, by the key that it had then."""
    history = History(host, with_ids=True)
    history.do('attach', 0)
    (place,) = pathlib.Path(state_path).glob(f'{notes.NOTE}*')
    assert place.name == f'{notes.NOTE}{notes.digest(KEY)}'
    history.do('attach', 1)
    history.compare()
    history.do('detach', 0)
    history.compare()
    assert not place.exists()


def test_a_note_in_the_place_of_another_service_stays(
    host: ceph.RbdHost, tmp_path: pathlib.Path, state_path: str
) -> None:
    """Both services have their only note of the name in the first place of their own."""
    history = History(host, with_ids=True)
    history.do('attach', 0)
    of_nova = pathlib.Path(state_path).rename(tmp_path / 'of-nova')
    cfg.CONF.set_override('lock_path', str(of_nova), group='os_brick')
    try:
        history.do('attach', 1)
        history.compare()
        history.do('detach', 1)
        assert list(of_nova.glob(f'{notes.NOTE}*'))
        history.do('detach', 0)
        assert not list(of_nova.glob(f'{notes.NOTE}*'))
    finally:
        cfg.CONF.clear_override('lock_path', group='os_brick')


def test_what_is_under_way_is_marked_beside_the_note_of_the_other(
    host: ceph.RbdHost, state_path: str
) -> None:
    history = History(host, with_ids=True)
    history.do('attach', 0)
    seen: list[note.Note] = []
    host.before_map = lambda: seen.extend(notes.every(state_path).notes)
    history.do('attach', 1)
    ours = [each for each in seen if each.work is not None]
    assert {each.volume_id for each in ours} == {'volume-1'}
    assert {each.volume_id for each in seen} == {'volume-0', 'volume-1'}


def test_no_more_than_there_are_places(
    host: ceph.RbdHost, state_path: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The operation goes on without a note, and no other note is lost."""
    history = History(host, with_ids=True)
    for _ in range(namesakes.MOST + 1):
        history.clusters[0].image('gold')  # Made anew: the device of before stays mapped.
        history.do('attach', 0)
    found = notes.every(state_path).notes
    assert {each.device for each in found} == {f'rbd{number}' for number in range(namesakes.MOST)}
    assert 'other volumes of its name are attached' in caplog.text
    assert host.rbd.keys() == set(range(namesakes.MOST + 1))


def test_a_name_of_one_volume_has_one_place() -> None:
    places = namesakes.Places.of('iscsi x 1', has_namesakes=False)
    found = note.Note(key='iscsi x 1', device='dm-4', number=block.inode('dm-4') or 1)
    assert places.keys == ('iscsi x 1',)
    places.kept[found.key] = found
    assert places.begun('other') == places.attached(dataclasses.replace(found, number=2))
    assert not places.is_anothers(found)


@pytest.mark.parametrize('act', ['attach', 'detach', 'forget'])
def test_a_note_that_cannot_be_read_now_stays(host: ceph.RbdHost, act: str) -> None:
    """It may be that of the other image, which is attached."""
    history = History(host, with_ids=True)
    history.do('attach', 0)
    if act != 'attach':
        history.do('attach', 1)
    file = pathlib.Path(notes.place(cfg.CONF.os_brick.state_path), notes.NOTE + notes.digest(KEY))
    before = file.read_bytes()
    file.chmod(0o666)  # Anyone may have written it: it is not trusted.
    history.do(act, 1)
    assert file.read_bytes() == before
