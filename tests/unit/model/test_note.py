# SPDX-License-Identifier: Apache-2.0
"""A note comes back from JSON as it was, and what is not one is rejected, whatever it is."""

import json

import hypothesis
from hypothesis import strategies
import pytest

from os_brick.model import note
from tests import breadth

PROCESS = note.Process('nova-compute', 4711, 123456, 162, 4026531836)
PAST = note.Past('attach', 'iscsi', 'done', 1.5, 0.745, 0.0)
NOTE = note.Note(
    key='iscsi iqn.2026-11.org.lab:t1 1',
    protocol='iscsi',
    volume_id='8f0c2a4e-6d0b-4c31-9a55-3f0f5b0e7d11',
    attachment_id='a1',
    properties={'target_lun': 1, 'target_portals': ['10.0.0.1:3260'], 'auth_password': '***'},
    result={'type': 'block', 'path': '/dev/dm-4'},
    device='dm-4',
    number=4711,
    identity='36001405e07e81c20cf5935f5225765f0',
    wanted=2,
    ready=1,
    process=PROCESS,
    at=1795698000.25,
    work=note.Work('extend', PROCESS, 1795698001.0, 'grow'),
    past=(PAST,),
)


def _json(found: note.Note) -> dict[str, object]:
    loaded: dict[str, object] = json.loads(json.dumps(found.as_dict()))
    return loaded


@pytest.mark.parametrize('found', [NOTE, note.Note(key='nfs a:/b/c')])
def test_it_comes_back_as_it_was(found: note.Note) -> None:
    assert note.Note.from_dict(_json(found)) == found


def test_keys_of_a_later_release_are_ignored() -> None:
    assert note.Note.from_dict({**_json(NOTE), 'colour': 'green'}) == NOTE


@pytest.mark.parametrize(
    'change',
    [
        {'version': 2},
        {'key': 7},
        {'key': None},
        {'protocol': 'local'},
        {'key': 'rbd rbd/gold'},
        {'volume_id': 'a\x1b[2J'},
        {'volume_id': 'a' * 5000},
        {'device': ['dm-4']},
        {'ready': True},
        {'ready': -1},
        {'at': float('nan')},
        {'at': float('inf')},
        {'at': 10**400},
        {'wanted': 10**400},
        {'result': {'size': 10**400}},
        {'work': {'operation': 'attach', 'process': {'pid': 1, 'started': 10**400}}},
        {'at': 'yesterday'},
        {'result': ['/dev/dm-4']},
        {'result': {'path': 'a\nb'}},
        {'properties': {'a\nb': 1}},
        {'process': {'pid': 0}},
        {'process': {'program': 'x', 'pid': 10**9, 'started': 1, 'user': 0}},
        {'work': {'operation': 'attach'}},
        {'past': 'attach'},
        {'past': [{'operation': 'attach'}]},
        {'past': [PAST.__class__.__name__] * 17},
    ],
)
def test_garbage_is_rejected(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=' '):
        note.Note.from_dict({**_json(NOTE), **change})


def test_what_contains_itself_is_rejected() -> None:
    nested: dict[str, object] = {}
    for _ in range(50):
        nested = {'a': nested}
    with pytest.raises(ValueError, match=' '):
        note.Note.from_dict({**_json(NOTE), 'properties': nested})


ANYTHING = strategies.recursive(
    strategies.none()
    | strategies.booleans()
    | strategies.integers()
    | strategies.floats()
    | strategies.text(max_size=8),
    lambda inner: (
        strategies.lists(inner, max_size=3)
        | strategies.dictionaries(strategies.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


@hypothesis.given(strategies.sampled_from(sorted(_json(NOTE))), ANYTHING)
@hypothesis.settings(max_examples=breadth.examples(60, 2000))
def test_nothing_else_is_raised_and_what_is_taken_comes_back(name: str, value: object) -> None:
    """Any value under any name: a note that can be written down again, or ValueError."""
    try:
        found = note.Note.from_dict({**_json(NOTE), name: value})
    except ValueError:
        return
    assert note.Note.from_dict(_json(found)) == found
