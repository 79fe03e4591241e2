# SPDX-License-Identifier: Apache-2.0
"""Volumes of four targets and three transports, attached and detached all at once."""

from tests import breadth
from tests.functional import lab, support

# Volumes on each of the four targets.
_EACH = breadth.examples(4, 16)


def test_volumes_of_four_targets_at_once(shelf, fabric, nursery):
    """Each caller gets its own volume; afterwards nothing is left, which the fixture checks."""
    members = lab.fleet.Fleet(shelf, fabric, _EACH).members
    for one in members:
        support.stamp(one.store)
    (worker,) = workers = lab.fleet.staff(nursery, 1)
    try:
        attached = lab.fleet.attach(workers, members)
        assert not attached.failures
        infos = [one.result for one in attached.outcomes]
        for info, one in zip(infos, members, strict=True):
            stamp = one.store.read(support.BLOCK)
            assert one.store.name.encode() in stamp
            assert support.read(info['path']) == stamp
        detached = lab.fleet.detach(workers, members, infos)
        assert not detached.failures
        for report in (attached, detached):
            assert report.most['threads'] <= 4 * len(members) + 8
            assert report.most['daemon_threads'] <= 66
    finally:
        worker.close()
