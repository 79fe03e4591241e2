# SPDX-License-Identifier: Apache-2.0
"""Which paths to take, when to scan, when to go on, when a session may end."""

from hypothesis import given
from hypothesis import strategies as st
import pytest

from os_brick.model import addresses
from os_brick.plans import iscsi as plans
from os_brick.request import iscsi as props

OURS, OTHER = 'iqn.2026-11.org.lab:t1', 'iqn.2026-11.org.lab:t2'


def portal(number: int) -> addresses.Portal:
    return addresses.Portal(f'10.0.0.{number}')


def path(number: int, name: str = OURS) -> props.IscsiPath:
    return props.IscsiPath(portal(number), name, 7)


ASKED = path(1)


@pytest.mark.parametrize(
    ('found', 'paths'),
    [
        ([], [path(1)]),
        ([(1, OURS)], [path(1)]),
        ([(1, OURS), (2, OURS)], [path(1), path(2)]),
        # The one that was asked for is the first.
        ([(2, OURS), (1, OURS)], [path(1), path(2)]),
        # Twice is once.
        ([(2, OURS), (2, OURS)], [path(1), path(2)]),
        # Another target of the same portals is not ours.
        ([(1, OURS), (2, OURS), (1, OTHER), (2, OTHER)], [path(1), path(2)]),
        # An array with a name for each portal.
        ([(1, OURS), (2, OTHER)], [path(1), path(2, OTHER)]),
        # A NAT: the portal we know is not among those that are told.
        ([(3, OURS), (4, OURS)], [path(1), path(3), path(4)]),
    ],
)
def test_discovered_paths(found: list[tuple[int, str]], paths: list[props.IscsiPath]) -> None:
    told = [(portal(number), name) for number, name in found]
    assert plans.discovered_paths(ASKED, told) == tuple(paths)


def test_names_are_compared_without_case() -> None:
    told = [(portal(1), OURS.upper()), (portal(2), OURS.upper())]
    assert {each.portal for each in plans.discovered_paths(ASKED, told)} == {portal(1), portal(2)}


@given(st.lists(st.tuples(st.integers(1, 4), st.sampled_from([OURS, OTHER]))))
def test_every_path_is_one_that_was_told_or_asked_for(found: list[tuple[int, str]]) -> None:
    paths = plans.discovered_paths(ASKED, [(portal(number), name) for number, name in found])
    assert paths[0] == ASKED
    assert len(set(paths)) == len(paths)
    assert set(paths) <= {ASKED, *(path(number, name) for number, name in found)}
    # No portal of ours is forgotten.
    assert {path(number, name) for number, name in found if name == OURS} <= set(paths)


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
