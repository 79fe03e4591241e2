# SPDX-License-Identifier: Apache-2.0
"""The whole laboratory as one context: what it puts up, it takes down, last first."""

from collections.abc import Sequence
import contextlib
from types import TracebackType

from tests.functional.lab import daemons, lio, net, oracle


class Bench:
    """Addresses, daemons, and the volumes and targets that were made on it."""

    def __init__(self, *, multipathd: bool = True) -> None:
        self._multipathd = multipathd
        self._base = contextlib.ExitStack()
        self._volumes = contextlib.ExitStack()
        self._targets = contextlib.ExitStack()

    def __enter__(self) -> 'Bench':
        lio.load()
        with self._base:
            self._base.callback(net.down)
            net.up()
            self._base.callback(daemons.stop)
            daemons.start_iscsid()
            oracle.clear(lio.IQN)
            lio.clear()
            if self._multipathd:
                daemons.start_multipathd()
            self._base = self._base.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.reset()
        finally:
            self._base.close()

    def reset(self) -> None:
        """Remove every volume and target, heal the network; the daemons stay."""
        net.heal_all()
        try:
            self._targets.close()
        finally:
            self._volumes.close()

    def volume(
        self, name: str, megabytes: int = 32, serial: str | None = None, layer: str = ''
    ) -> lio.Volume:
        """A new volume (``lio.Volume`` says what the arguments are)."""
        volume = lio.Volume(name, megabytes, serial, layer)
        self._volumes.callback(volume.close)
        return volume

    def target(
        self,
        name: str,
        portals: int | Sequence[str] = 1,
        *,
        apart: bool = False,
    ) -> lio.Target:
        """A new target on the first so many addresses, or on these; ``apart``: a group each."""
        addresses = net.V4[:portals] if isinstance(portals, int) else portals
        target = lio.Target(name, addresses, apart=apart)
        self._targets.callback(target.close)
        return target
