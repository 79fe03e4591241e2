# SPDX-License-Identifier: Apache-2.0
"""What an attach of an NVMe namespace would do now; nothing is changed, and no device is asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
import dataclasses

from os_brick.core import operation
from os_brick.host import machine, nvme_survey
from os_brick.model import fabrics
from os_brick.paths import nvme_attach, nvme_request
from os_brick.paths.nvme import Driver, NvmePath, Request
from os_brick.plans import nvme_attach as plans
from os_brick.plans import nvme_removal
from os_brick.plans.nvme_attach import Step, Verb
from os_brick.request import nvmeof as request_nvmeof


def of_paths(
    driver: Driver,
    namespace: request_nvmeof.Namespace,
    paths: Sequence[NvmePath],
    *,
    is_multipath: bool,
) -> plans.Attach:
    """What is about to be done on the paths, as far as it can be known now."""
    order = paths if is_multipath else nvme_attach.in_turn(driver, paths)
    each, identity = map(driver.steps, order), str(namespace.identity)
    return plans.attach(str(namespace), each, identity, is_multipath=is_multipath)


def of(
    request: request_nvmeof.NvmeRequest,
    namespace: request_nvmeof.Namespace,
    here: nvme_removal.Choice,
    op: operation.Operation,
    *,
    is_multipath: bool,
) -> plans.Attach:
    """The plan of a namespace, with what there is now and what could happen.

    :param here: what there is of the namespace.
    :raises BrickException: for what would have the attach fail before it does anything.
    """
    wanted, host = nvme_request.known(request, namespace, op)
    driver, paths = Driver(wanted), nvme_request.paths_of(namespace, op.work)
    plan = of_paths(driver, namespace, paths, is_multipath=is_multipath)
    found = [
        plans.FoundPath(str(each.portal), nvme_survey.described(driver.existing(each)))
        for each in paths
    ]
    is_native = machine.has_native_nvme_multipath()
    name = ', '.join(filter(None, wanted.host or ()))
    enforced = is_multipath and request.enforce_multipath
    risks = _risks(wanted, paths, found)
    risks = dataclasses.replace(
        risks, wanted=min(2, len(paths)) if enforced else 1, is_multipath=is_multipath
    )
    after = _after(request, op, is_multipath=is_multipath)
    return dataclasses.replace(
        plan,
        steps=(*plans.preparation(host), *plan.steps, *after),
        now=plans.now(
            *(name, found, _devices(here.paths), _devices(here.undecided)), is_native=is_native
        ),
        could=plans.could(risks),
    )


def _risks(
    wanted: Request, paths: Sequence[NvmePath], found: Sequence[plans.FoundPath]
) -> plans.Risks:
    identity = paths[0].namespace.identity
    return plans.Risks(
        paths=len(paths),
        is_unique=identity.is_unique,
        has_nsid=identity.nsid is not None,
        has_secret=wanted.options.dhchap_secret is not None,
        wants_tls=any(map(wanted.tls_keys, paths)),
        plain=tuple(one.name for path in found for one in path.controllers if one.is_plain),
    )


def _after(
    request: request_nvmeof.NvmeRequest, op: operation.Operation, *, is_multipath: bool
) -> Iterator[Step]:
    """What is done once the namespace is there."""
    policy = op.settings.nvme.io_policy
    if is_multipath and policy:
        yield Step(Verb.SET_POLICY, value=policy)
    # The link of a replicated volume leads to its array.
    if request.encrypted and request.replication is request_nvmeof.Replication.NONE:
        yield Step(Verb.MAKE_LINK)


def _devices(paths: Sequence[fabrics.Path]) -> list[str]:
    """The devices that namespaces are here as, in words."""
    behind: dict[str, list[fabrics.Path]] = {}
    for each in paths:
        behind.setdefault(each.head, []).append(each)
    return [
        f'/dev/{head} ({own[0].identity.name or own[0].identity}) behind '
        f'{", ".join(each.controller for each in own)}'
        for head, own in behind.items()
    ]
