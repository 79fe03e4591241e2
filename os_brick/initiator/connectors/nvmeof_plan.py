# SPDX-License-Identifier: Apache-2.0
"""What an operation on an NVMe volume would do now; nothing is changed, and no device is asked."""

from __future__ import annotations

from typing import Any

from os_brick.core import observe, operation
from os_brick.host import md, nvme_growth, nvme_survey
from os_brick.initiator.connectors import nvmeof_here, nvmeof_raid
from os_brick.paths import nvme_plan
from os_brick.plans import mirror, nvme_removal, steps
from os_brick.plans import nvme_growth as plans_growth
from os_brick.request import nvmeof as request_nvmeof

Volume = request_nvmeof.NvmeRequest
Replication = request_nvmeof.Replication


def of(
    operation_name: str,
    request: Volume,
    op: operation.Operation,
    *,
    is_multipath: bool,
    force: bool,
) -> steps.Plan[Any]:
    """The plan of an attach, an extend or a detach.

    :raises VolumePathsNotFound: if a volume that is to be extended is not here.
    """
    if operation_name == observe.ATTACH:
        return _attach(request, op, is_multipath=is_multipath)
    if operation_name == observe.EXTEND:
        return _extend(request, op)
    here, array = nvmeof_here.to_detach(request, op.work)
    return nvme_removal.plan(here, array, flush_used=force)


def _attach(request: Volume, op: operation.Operation, *, is_multipath: bool) -> steps.Plan[Any]:
    here = nvmeof_here.every(request, op.work, is_here=False)
    plans = [
        nvme_plan.of(request, namespace, each, op, is_multipath=is_multipath)
        for namespace, each in zip(request.namespaces, here, strict=True)
    ]
    if request.replication is Replication.NONE:
        return plans[0]
    is_single = request.replication is Replication.PERHAPS
    alias = request.alias or '' if is_single else nvmeof_raid.require_alias(request.alias)
    return mirror.attach(
        alias,
        plans,
        md.arrays_over(nvmeof_here.heads_of(here)),
        mirror.Volume(max(request.replica_count, 2), is_single, request.encrypted),
    )


def _extend(request: Volume, op: operation.Operation) -> steps.Plan[plans_growth.Step]:
    here, name = nvmeof_here.to_extend(request, op.work)
    found = [nvme_growth.look(each.wanted.identity, each.paths) for each in here]
    array = nvme_survey.array(name) if name else None
    return nvme_growth.plan(nvmeof_here.named(request), found, array)
