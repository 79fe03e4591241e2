# SPDX-License-Identifier: Apache-2.0
"""What an operation costs on a host where all is well: acts as root, and programs.

A number here may go down. One that goes up is an act that each attach of each volume pays for.
"""

import collections

from os_brick.initiator.connectors import iscsi
from tests.unit.fakehost import array
from tests.unit.fakehost import host as fake_host

PORTALS = 4


def kinds(acts: list[str]) -> dict[str, int]:
    """How often each kind of act was done."""
    words = (act.split() for act in acts)
    return dict(
        collections.Counter(
            ' '.join(each[:2]) if each[0] == 'multipathd' else each[0] for each in words
        )
    )


def test_acts_of_a_life_on_four_paths(host: fake_host.Host) -> None:
    target = host.target(portals=PORTALS)
    target.luns[1] = array.Unit()
    brick = iscsi.ISCSIConnector(None, use_multipath=True)
    props = target.properties(plural=True)
    info = brick.connect_volume(props)
    attach, host.acts = kinds(host.acts), []
    # A disk that comes when multipathd has built the map is offered: that is a matter of moments.
    assert attach.pop('multipathd add', 0) < PORTALS
    target.luns[1].megabytes += 32
    brick.extend_volume(props)
    extend, host.acts = kinds(host.acts), []
    brick.disconnect_volume(props, info)
    assert attach == {
        'iscsiadm': 2 * PORTALS,  # The node record's is one of them.
        'write': PORTALS,
        'identity_pages': PORTALS,
        'pages_or_errors': 1,
        '_change': 1,
        'multipathd show': 2,
        'dm': 1,
        '_read_start': 1,
    }
    assert extend == {'pages_or_errors': PORTALS, '_write': PORTALS, 'multipathd resize': 1}
    assert kinds(host.acts) == {
        'dm': 2,  # Whether it has a path, before the flush; and whether it is open.
        'pages_or_errors': 1,
        '_flush': 1,
        'multipathd del': 1 + PORTALS,
        '_write': PORTALS,  # Their removal.
        'multipathd show': PORTALS,  # In one call: whether it knows this disk.
        '_change': 1,
        'iscsiadm': PORTALS,
    }
