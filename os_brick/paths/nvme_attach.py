# SPDX-License-Identifier: Apache-2.0
"""Attaching an NVMe namespace over its paths, which the kernel puts under one head."""

from __future__ import annotations

from collections.abc import Sequence

from os_brick import exception
from os_brick.core import observe, operation, undo, wait
from os_brick.host import nvme, nvme_connect, nvme_volume
from os_brick.model import fabrics
from os_brick.paths import engine, path_set
from os_brick.paths.nvme import Driver, NvmePath, OpenPath
from os_brick.plans import paths as plans_paths
from os_brick.plans.nvme_attach import Verb


class NvmeHead:
    """The block device that the kernel makes of all paths to a namespace.

    Both fields are written once, by the attach, before any late path is added.
    """

    def __init__(self) -> None:
        self._head = ''
        self._identity = fabrics.NamespaceIdentity()

    @property
    def wwid(self) -> str:
        """The name of the namespace, if it has one."""
        return self._identity.uuid or self._identity.nguid or ''

    def record(self, opened: OpenPath) -> None:
        """Note what the attach has found."""
        self._head, self._identity = opened.namespace.head, opened.namespace.identity

    def add(self, opened: OpenPath, deadline: wait.Deadline) -> None:
        """Have a late path lead to the head; the kernel has put it there by itself.

        :raises VolumeIdentityMismatch: if it does not.
        """
        if opened.namespace.head != self._head:
            raise exception.VolumeIdentityMismatch(
                device=f'/dev/{opened.namespace.head}',
                expected=f'a path of /dev/{self._head}',
                actual=str(opened.namespace.identity),
            )

    def is_present(self, *, without: OpenPath | None = None) -> bool:
        """Whether the namespace has a path other than the late one."""
        late = without.namespace.controller if without else ''
        return any(
            self._identity == path.identity and path.controller != late
            for path in nvme.paths_of(self._head)
        )

    def before(self, opened: Sequence[OpenPath], seconds: float) -> list[undo.Step]:
        """Take nothing apart: the head goes with its last path."""
        return []

    def after(self, opened: Sequence[OpenPath]) -> list[undo.Step]:
        """Forget nothing."""
        return []


def attach_all(
    driver: Driver, paths: Sequence[NvmePath], wanted: int, op: operation.Operation
) -> fabrics.Path:
    """Use all paths that lead to the namespace, and return the first of it.

    :param wanted: how many have to.
    :raises BrickException: if fewer do.
    """
    policy = plans_paths.Policy(wanted=wanted, is_mismatch_fatal=False)
    assembly = NvmeHead()
    paths_open = path_set.PathSet(driver, assembly, paths, policy, op)
    opened = paths_open.open()
    first = opened[0].namespace
    alike = [one for one in opened if one.namespace.head == first.head]
    _require_same(opened)
    behind = [one.controller for one in alike]
    with observe.step(Verb.READ, first.head):
        nvme_volume.wait_readable(first, op.work.within(op.settings.scan_seconds), behind)
    if len(alike) < wanted:
        raise exception.BrickException(
            f'Multipath is enforced, and only {len(alike)} path leads to /dev/{first.head} '
            f'({opened[0].path.namespace}); {"; ".join(paths_open.failures())}'
        )
    if op.settings.nvme.io_policy:
        nvme_connect.set_io_policy(opened[0].path.namespace.nqn, op.settings.nvme.io_policy)
    assembly.record(opened[0])
    paths_open.add_in_background()
    return first


def attach_first(
    driver: Driver, paths: Sequence[NvmePath], op: operation.Operation
) -> fabrics.Path:
    """Use the first path that leads to a readable namespace, and return what is behind it.

    One that is open comes before others.
    """

    def use(opened: OpenPath, deadline: wait.Deadline, _steps: undo.Undo) -> fabrics.Path:
        limit = deadline.within(op.settings.scan_seconds)
        with observe.step(Verb.USE_ONE, opened.namespace.head):
            nvme_volume.wait_readable(opened.namespace, limit, [opened.controller])
        return opened.namespace

    return engine.open_first(driver, NvmeHead(), in_turn(driver, paths), op, use)


def in_turn(driver: Driver, paths: Sequence[NvmePath]) -> Sequence[NvmePath]:
    """The paths in the order in which they are tried one by one."""
    return sorted(paths, key=lambda path: not driver.existing(path)) if len(paths) > 1 else paths


def _require_same(opened: list[OpenPath]) -> None:
    """Have all paths lead to one namespace.

    :raises VolumeIdentityMismatch: naming two that differ.
    """
    first = opened[0].namespace
    for other in opened[1:]:
        if other.namespace.identity != first.identity:
            raise exception.VolumeIdentityMismatch(
                device=f'/dev/{other.namespace.head}',
                expected=f'{first.identity} of {first.name}',
                actual=str(other.namespace.identity),
            )
