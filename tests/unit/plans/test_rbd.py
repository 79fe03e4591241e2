# SPDX-License-Identifier: Apache-2.0
"""Which of the mapped images of a name is the volume, over every small table of maps."""

import itertools

import pytest

from os_brick.model import addresses, rbd_mark
from os_brick.model import rbd as model
from os_brick.plans import rbd as plans

IMAGE = model.Image('rbd', 'v1')
ONE, TWO = (addresses.Portal(f'10.0.0.{n}', 6789) for n in (1, 2))
KINDS = ('client.admin', f'{rbd_mark.MARK}00000000', f'{rbd_mark.PROBE_MARK}00000000')


def mapped(number: int, fsid: str = 'fsid') -> model.Mapped:
    return model.Mapped(number, IMAGE, (fsid, '1', '', 'abc', '2'))


def told(*marks: str, monitor: addresses.Portal = ONE) -> dict[int, model.Configuration]:
    return {
        number: model.Configuration(frozenset({monitor}), mark) for number, mark in enumerate(marks)
    }


@pytest.mark.parametrize('marks', itertools.product(KINDS, repeat=3))
@pytest.mark.parametrize('used', [None, 'rbd0', 'rbd1', 'rbd7'])
def test_what_a_detach_takes_away(marks: tuple[str, ...], used: str | None) -> None:
    """Ours and the one in use; all where neither is known; of none nothing."""
    found = [mapped(number) for number in range(3)]
    gone = plans.to_remove(found, told(*marks), used)
    ours = {n for n in range(3) if marks[n] == KINDS[1]}
    wanted = ours | {n for n in range(3) if used == f'rbd{n}'}
    assert {each.number for each in gone} == (wanted or {0, 1, 2})
    assert plans.to_remove([], told(*marks), used) == ()


@pytest.mark.parametrize('marks', itertools.product(KINDS, repeat=3))
@pytest.mark.parametrize('unfit', [set(), {0}, {1, 2}, {0, 1, 2}])
def test_what_an_attach_hands_out(marks: tuple[str, ...], unfit: set[int]) -> None:
    """One that can be written to, rather one of ours, and the same again at the next attach."""
    found = [mapped(number) for number in range(3)]
    chosen = plans.to_reuse(found, told(*marks), unfit)
    fit = [n for n in range(3) if n not in unfit]
    assert (chosen is None) == (not fit)
    if chosen is not None:
        assert chosen.number in fit
        ours = [n for n in fit if marks[n] == KINDS[1]]
        assert chosen.number == min(ours or fit)
        assert plans.to_reuse(found[::-1], told(*marks), unfit) == chosen


def test_whose_a_map_is_by_its_monitors() -> None:
    found = [mapped(number, f'fsid {number}') for number in range(4)]
    known = {
        0: model.Configuration(frozenset({ONE}), ''),
        1: model.Configuration(frozenset({TWO, ONE}), ''),
        2: model.Configuration(frozenset({TWO}), ''),
    }
    for monitors, numbers in (
        ({ONE}, [0, 1]),
        ({addresses.Portal('10.0.0.1', 3300)}, [0, 1]),
        ({addresses.Portal('10.0.0.1', 6790)}, []),
        ({TWO}, [1, 2]),
        (set(), []),
    ):
        assert [each.number for each in plans.of_monitors(found, known, monitors)] == numbers


def test_a_cluster_is_known_by_one_of_its_maps() -> None:
    """Another one was mapped through a monitor that has gone since."""
    found = [mapped(0, 'a'), mapped(1, 'b'), mapped(2, 'a'), mapped(3, '')]
    known = told(*KINDS) | told(KINDS[0], monitor=TWO)
    assert [each.number for each in plans.of_monitors(found, known, {TWO})] == [0, 2]
    known = {3: model.Configuration(frozenset({ONE}), '')}
    assert [each.number for each in plans.of_monitors([*found, mapped(4, '')], known, {ONE})] == [3]
    assert [each.number for each in plans.of_cluster(found, 'a')] == [0, 2]
    assert plans.of_cluster(found, '') == ()


@pytest.mark.parametrize('images', list(itertools.product('ab', repeat=3)))
@pytest.mark.parametrize('used', [None, 'rbd0', 'rbd2', 'rbd7'])
def test_which_image_a_detach_is_about(images: tuple[str, ...], used: str | None) -> None:
    """That of the caller's device; else it is asked, unless there is one image only."""
    found = [
        model.Mapped(number, IMAGE, ('fsid', '1', '', image, '2'))
        for number, image in enumerate(images)
    ]
    is_here = used in {'rbd0', 'rbd2'}
    ambiguous = plans.is_ambiguous(found, used)
    assert ambiguous == (not is_here and (used is not None or len(set(images)) > 1))
    same = plans.as_used(found, used)
    if is_here:
        wanted = images[int(str(used)[3:])]
        assert [each.number for each in same] == [n for n in range(3) if images[n] == wanted]
    else:
        assert list(same) == found
    for image in 'abc':
        own = plans.of_identity(found, ('fsid', '1', '', image, '2'))
        assert [each.number for each in own] == [n for n in range(3) if images[n] == image]
    assert not plans.is_ambiguous([], used)
