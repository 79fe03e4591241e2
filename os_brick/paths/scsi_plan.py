# SPDX-License-Identifier: Apache-2.0
"""What a detach or an extend of a SCSI volume would do now; nothing is changed."""

from __future__ import annotations

from collections.abc import Iterable
import dataclasses
from typing import Any

from os_brick.core import observe
from os_brick.host import scsi_growth, survey
from os_brick.paths import scsi_removal
from os_brick.plans import growth, removal, steps
from os_brick.request import common


def of(
    operation: str,
    request: common.ScsiRequest,
    places: survey.Places,
    what: str,
    last: Iterable[removal.Step] = (),
) -> tuple[steps.Plan[Any], ...]:
    """The plan of a detach, or of an extend.

    :param what: the volume's paths, in words.
    :param last: the steps of a detach once the devices have gone.
    :raises VolumePathsNotFound: if a volume that is to be extended is not here.
    """
    is_detach = operation == observe.DETACH
    volume = scsi_removal.look(request, places, what, with_users=is_detach)
    if is_detach:
        plan = removal.plan(volume.choice, volume.wanted, volume.found.links)
        after = () if volume.choice.unclear else tuple(last)
        return (dataclasses.replace(plan, steps=(*plan.steps, *after)),)
    return (growth.extend(scsi_growth.look(volume.require())),)
