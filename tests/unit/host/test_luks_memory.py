# SPDX-License-Identifier: Apache-2.0
"""What is remembered of LUKS volumes: before, and after a header, a format, or a crash in it."""

import itertools

import pytest

from os_brick.host import luks_memory
from os_brick.host.luks_memory import Memory
from os_brick.model import luks
from os_brick.privileged import luks_states
from tests.unit.fakehost.host import Host

FIRST, SECOND = '11111111-aaaa', '22222222-bbbb'
AREAS = ((0, 'a' * 32), (16384, 'b' * 64))
NAMES = luks_memory.keys('wwid-3600', 'vol')


def header(uuid: str) -> luks.Header:
    return luks.Header(2, uuid, 1 << 15, (), 1 << 24)


@pytest.mark.parametrize(
    ('identity', 'volume', 'names'),
    [
        ('', '', []),
        ('wwid-3600', '', ['wwid-3600']),
        ('', 'vol', ['volume-vol']),
        ('wwid-3600', 'vol', ['wwid-3600', 'volume-vol']),
    ],
)
def test_names(identity: str, volume: str, names: list[str]) -> None:
    assert luks_memory.keys(identity, volume) == names


# What happens to a volume one after the other, and what is remembered in the end.
STORIES: list[tuple[list[str], Memory]] = [
    ([], Memory()),
    (['has first'], Memory(header=FIRST)),
    (['has first', 'has first'], Memory(header=FIRST)),
    (['has first', 'has second'], Memory(header=SECOND)),
    (['begin second'], Memory(formatting=SECOND, areas=AREAS)),
    # A crash: what it had before is not forgotten.
    (['has first', 'begin second'], Memory(FIRST, SECOND, AREAS)),
    (['begin second', 'has second'], Memory(header=SECOND)),
    (['has first', 'begin second', 'has second'], Memory(header=SECOND)),
    (['begin second', 'restore'], Memory()),
    (['has first', 'begin second', 'restore'], Memory(header=FIRST)),
    (['begin first', 'begin second', 'restore'], Memory(formatting=FIRST, areas=AREAS)),
]


@pytest.mark.parametrize(('story', 'memory'), STORIES)
def test_what_is_remembered(host: Host, story: list[str], memory: Memory) -> None:
    before: luks_memory.Before = {}
    uuids = {'first': FIRST, 'second': SECOND}
    for act, _, which in (each.partition(' ') for each in story):
        match act:
            case 'has':
                luks_memory.has(NAMES, header(uuids[which]))
            case 'begin':
                before = luks_memory.begin(NAMES, header(uuids[which]), AREAS)
            case _:
                luks_memory.restore(before)
    # By each of its names alone, and by both in either order.
    for names in ([NAMES[0]], [NAMES[1]], *itertools.permutations(NAMES)):
        assert luks_memory.recall(names) == memory
    assert luks_memory.recall(['wwid-other', 'volume-other']) == Memory()


def test_nothing_stays_of_a_volume_of_which_nothing_was_known(host: Host) -> None:
    before = host.snapshot()
    luks_memory.restore(luks_memory.begin(NAMES, header(FIRST), AREAS))
    left = [path for path in host.snapshot() if path not in before and path.endswith('.json')]
    assert not left


def test_one_name_is_known_and_the_other_is_not(host: Host) -> None:
    """The volume was known by its identity; its caller passes another ID for it now."""
    luks_memory.has(['wwid-3600'], header(FIRST))
    assert luks_memory.recall(NAMES) == Memory(header=FIRST)
    luks_memory.has(NAMES, header(FIRST))
    assert luks_memory.recall(['volume-vol']) == Memory(header=FIRST)


def test_what_cannot_be_saved_is_told_and_an_attach_goes_on(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    place = host.tree.at(luks_states.DIRECTORY)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text('a file in the place of the directory')
    luks_memory.has(NAMES, header(FIRST))
    assert "['wwid-3600', 'volume-vol'] is a LUKS volume is not remembered" in caplog.text
    with pytest.raises(Exception, match='luks-volumes'):
        luks_memory.begin(NAMES, header(FIRST), AREAS)
