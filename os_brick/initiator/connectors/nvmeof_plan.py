# SPDX-License-Identifier: Apache-2.0
"""What an operation on an NVMe volume would do now; nothing is changed, and no device is asked."""

from __future__ import annotations

from typing import Any

from os_brick.core import observe, operation
from os_brick.host import nvme_growth, nvme_survey
from os_brick.initiator.connectors import nvmeof_here
from os_brick.paths import nvme_plan
from os_brick.plans import nvme_attach, nvme_removal, steps
from os_brick.plans import nvme_growth as plans_growth
from os_brick.request import nvmeof as request_nvmeof

Volume = request_nvmeof.NvmeRequest


def of(
    operation_name: str, request: Volume, op: operation.Operation, *, is_multipath: bool
) -> steps.Plan[Any]:
    """The plan of an attach, an extend or a detach.

    :raises VolumePathsNotFound: if a volume that is to be extended is not here.
    """
    if operation_name == observe.ATTACH:
        return _attach(request, op, is_multipath=is_multipath)
    if operation_name == observe.EXTEND:
        return _extend(request, op)
    return _detach(request, op)


def _attach(
    request: Volume, op: operation.Operation, *, is_multipath: bool
) -> steps.Plan[nvme_attach.Step]:
    if request.replication is not request_nvmeof.Replication.NONE:
        raise NotImplementedError(
            'what is done with a mirror is decided by what its members have on them, which are '
            'not here before'
        )
    here = nvmeof_here.survey(request, request.namespaces[0], op.work, is_here=False)
    return nvme_plan.of(request, here, op, is_multipath=is_multipath)


def _extend(request: Volume, op: operation.Operation) -> steps.Plan[plans_growth.Step]:
    here, name = nvmeof_here.to_extend(request, op.work)
    found = [nvme_growth.look(each.wanted.identity, each.paths) for each in here]
    array = nvme_survey.array(name) if name else None
    return nvme_growth.plan(nvmeof_here.named(request), found, array)


def _detach(request: Volume, op: operation.Operation) -> steps.Plan[nvme_removal.Step]:
    here, array = nvmeof_here.to_detach(request, op.work)
    return nvme_removal.plan(here, array, flush_used=False)
