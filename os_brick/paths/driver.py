# SPDX-License-Identifier: Apache-2.0
"""What the engine needs to know: how a path is opened, and what open paths are put together to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from os_brick.core import undo, wait
from os_brick.paths.attempt import Attempt

P_contra = TypeVar('P_contra', contravariant=True)
O_co = TypeVar('O_co', covariant=True)
O_contra = TypeVar('O_contra', contravariant=True)


class Driver(Protocol[P_contra, O_co]):
    """What a transport knows of one path."""

    def reachable(self, path: P_contra, deadline: wait.Deadline, *, ask: bool) -> bool:
        """Whether the path's portal has answered; ``False`` where that is not known yet.

        Nothing is made by it.

        :param ask: whether a portal without a connection may be asked.
        :raises PathUnreachable: if it does not answer.
        """

    def open(self, path: P_contra, attempt: Attempt) -> O_co:
        """Open the path; each thing that is made for it is in ``attempt.made`` before it is."""

    def summary(self, texts: list[str], errors: list[Exception]) -> Exception:
        """The error of an attach for which no path has opened."""


class Assembly(Protocol[O_contra]):
    """What open paths are put together to: a multipath map, an NVMe head."""

    @property
    def wwid(self) -> str:
        """The name of the volume on this host, by which late paths are found; may be empty."""

    def add(self, opened: O_contra, deadline: wait.Deadline) -> None:
        """Give a late path to the volume.

        :raises BrickException: if it leads to another one, or the volume has gone.
        """

    def is_present(self, *, without: O_contra | None = None) -> bool:
        """Whether the volume that was attached is still here.

        :param without: a late path, which is not a reason for the volume to be here.
        """

    def before(self, opened: Sequence[O_contra], seconds: float) -> list[undo.Step]:
        """What to take apart before paths of a failed attach are closed."""

    def after(self, opened: Sequence[O_contra]) -> list[undo.Step]:
        """What to forget once they are closed."""
