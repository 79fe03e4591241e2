# SPDX-License-Identifier: Apache-2.0
"""Plans of volumes that are on this host already: there is nothing to be done."""

from __future__ import annotations

from os_brick.plans import acts

_KINDS = {'attach': 'attach', 'detach': 'removal', 'extend': 'growth'}


def plan(operation: str, path: str, device: str | None, size: int) -> acts.Plan:
    """The plan of an attach, a detach or an extend.

    :param device: the name of the block device at the path; ``None`` if there is none.
    """
    found = f'the block device {device} of {size} bytes' if device else 'not a block device'
    return acts.plan(_KINDS[operation], path, (), (f'{path} is {found}',))
