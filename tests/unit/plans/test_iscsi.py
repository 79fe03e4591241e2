# SPDX-License-Identifier: Apache-2.0
"""Which ways to take, when to scan, when to go on, when a session may end."""

from hypothesis import given
from hypothesis import strategies as st
import pytest

from os_brick.model import addresses
from os_brick.plans import iscsi as plans
from os_brick.request import iscsi as props

OURS, OTHER = 'iqn.2026-11.org.lab:t1', 'iqn.2026-11.org.lab:t2'


def portal(number: int) -> addresses.Portal:
    return addresses.Portal(f'10.0.0.{number}')


def way(number: int, name: str = OURS) -> props.Target:
    return props.Target(portal(number), name, 7)


ASKED = way(1)


@pytest.mark.parametrize(
    ('found', 'ways'),
    [
        ([], [way(1)]),
        ([(1, OURS)], [way(1)]),
        ([(1, OURS), (2, OURS)], [way(1), way(2)]),
        # The one that was asked for is the first.
        ([(2, OURS), (1, OURS)], [way(1), way(2)]),
        # Twice is once.
        ([(2, OURS), (2, OURS)], [way(1), way(2)]),
        # Another target of the same portals is not ours.
        ([(1, OURS), (2, OURS), (1, OTHER), (2, OTHER)], [way(1), way(2)]),
        # An array with a name for each portal.
        ([(1, OURS), (2, OTHER)], [way(1), way(2, OTHER)]),
        # A NAT: the portal we know is not among those that are told.
        ([(3, OURS), (4, OURS)], [way(1), way(3), way(4)]),
    ],
)
def test_discovered_ways(found: list[tuple[int, str]], ways: list[props.Target]) -> None:
    told = [(portal(number), name) for number, name in found]
    assert plans.discovered_ways(ASKED, told) == tuple(ways)


def test_names_are_compared_without_case() -> None:
    told = [(portal(1), OURS.upper()), (portal(2), OURS.upper())]
    assert {each.portal for each in plans.discovered_ways(ASKED, told)} == {portal(1), portal(2)}


@given(st.lists(st.tuples(st.integers(1, 4), st.sampled_from([OURS, OTHER]))))
def test_every_way_is_one_that_was_told_or_asked_for(found: list[tuple[int, str]]) -> None:
    ways = plans.discovered_ways(ASKED, [(portal(number), name) for number, name in found])
    assert ways[0] == ASKED
    assert len(set(ways)) == len(ways)
    assert set(ways) <= {ASKED, *(way(number, name) for number, name in found)}
    # No portal of ours is forgotten.
    assert {way(number, name) for number, name in found if name == OURS} <= set(ways)


@pytest.mark.parametrize(
    ('luns', 'forced', 'end'),
    [
        ([], False, True),
        ([], True, True),
        ([7], False, False),
        ([7], True, True),
        ([8], False, False),
        ([8], True, False),
        ([7, 8], True, False),
        ([0], True, False),
    ],
)
def test_may_end(luns: list[int], forced: bool, end: bool) -> None:
    assert plans.may_end(luns, 7, is_forced=forced) is end


@given(st.sets(st.integers(0, 300)), st.integers(0, 300), st.booleans())
def test_a_session_with_another_lun_never_ends(luns: set[int], lun: int, forced: bool) -> None:
    if luns - {lun}:
        assert not plans.may_end(luns, lun, is_forced=forced)
