# SPDX-License-Identifier: Apache-2.0
"""Plans of shares: one that is mounted is used, and a detach leaves it."""

import pytest

from os_brick.model.mounts import Mount
from os_brick.plans import share
from os_brick.plans.share import Verb

MOUNTED = Mount(41, 22, '0:41', '/', '/mnt/a', ('rw',), 'nfs4', 'nas:/a', ('rw',))


@pytest.mark.parametrize('server', ['nas', ''])
@pytest.mark.parametrize('tries', [True, False])
def test_a_share_that_is_not_mounted(server: str, *, tries: bool) -> None:
    plan = share.attach(share.Found('nas:/a', 'nfs', '/mnt/a', None, server, tries), 'volume-1')
    asked = [Verb.ASK] if server else []
    verbs = [each.verb for each in plan.steps]
    assert verbs == [*asked, Verb.MAKE_DIRECTORY, Verb.MOUNT, Verb.CHECK_FILE]
    assert any('NFS 4.2' in line for line in plan.could) is tries
    assert plan.now == ('nas:/a is not mounted at /mnt/a',)


def test_a_share_that_is_mounted_is_used() -> None:
    found = share.Found('nas:/a', 'nfs', '/mnt/a', MOUNTED, 'nas')
    plan = share.attach(found, 'volume-1')
    assert [each.verb for each in plan.steps] == [Verb.USE, Verb.CHECK_FILE]
    assert plan.steps[0].number == 41
    assert 'does not know the handle' in plan.could[0]
    gone = share.removal(found, 'volume-1')
    assert gone.steps == ()
    assert gone.now == ('nas:/a is mounted at /mnt/a as nfs4, for writing', 'it stays so')
