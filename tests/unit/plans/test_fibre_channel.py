# SPDX-License-Identifier: Apache-2.0
"""Which pairs of ports are paths."""

from typing import Any, NamedTuple

import pytest

from os_brick.plans import fibre_channel as plans
from os_brick.request import fibre_channel as request_fc

A, B, FOREIGN = '500a098000000001', '500a098000000002', '500a0980000000ff'
FIRST, SECOND = '2100000000000001', '2100000000000002'


class Port(NamedTuple):
    host: int
    wwpn: str


OWN = [Port(2, FIRST), Port(3, SECOND)]


def pairs(remotes: list[Port], **more: Any) -> list[tuple[int, str, int]]:
    props = request_fc.FcRequest.parse({'target_wwn': [B, A], 'target_luns': [7, 8], **more})
    return [(own.host, far.wwpn, lun) for own, far, lun in plans.port_pairs(OWN, remotes, props)]


@pytest.mark.parametrize(
    ('remotes', 'more', 'expected'),
    [
        ([], {}, []),
        ([(2, FOREIGN)], {}, []),
        ([(4, A)], {}, []),
        # In the order of the array's ports as they were named, then of this host's.
        ([(2, A), (2, B), (3, A), (3, B)], {}, [(2, B, 7), (3, B, 7), (2, A, 8), (3, A, 8)]),
        ([(2, A), (3, B), (3, FOREIGN)], {}, [(3, B, 7), (2, A, 8)]),
        # Two remote ports of one name.
        ([(2, A), (2, A)], {}, [(2, A, 8), (2, A, 8)]),
        ([(2, A), (3, A)], {'initiator_target_map': {SECOND: [A]}}, [(3, A, 8)]),
        ([(2, A), (3, A)], {'initiator_target_map': {FOREIGN: [A]}}, []),
        ([(2, A)], {'initiator_target_lun_map': {FIRST: [[A, 5]]}}, [(2, A, 5)]),
    ],
)
def test_port_pairs(
    remotes: list[tuple[int, str]], more: dict[str, Any], expected: list[tuple[int, str, int]]
) -> None:
    assert pairs([Port(*each) for each in remotes], **more) == expected
