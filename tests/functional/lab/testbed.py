# SPDX-License-Identifier: Apache-2.0
"""The whole laboratory as one context: what it puts up, it takes down, last first."""

from collections.abc import Sequence
import contextlib
from types import TracebackType

from tests.functional.lab import daemons, fc, lio, net, nvmet, oracle


class Testbed:
    """Addresses, daemons, and the volumes and targets that were made on it."""

    def __init__(self, *, multipathd: bool = True) -> None:
        self._multipathd = multipathd
        self._base = contextlib.ExitStack()
        self._volumes = contextlib.ExitStack()
        self._targets = contextlib.ExitStack()
        self._ports: dict[tuple[str, ...], nvmet.Port] = {}

    def __enter__(self) -> 'Testbed':
        lio.load()
        with self._base:
            self._base.callback(net.down)
            net.up()
            self._base.callback(daemons.stop)
            daemons.start_iscsid()
            oracle.clear(lio.IQN)
            fc.clear()
            lio.clear()
            nvmet.host_identity()
            nvmet.sweep()
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
        """Remove every volume and target, heal the network; the daemons stay.

        What cannot be removed one by one is removed by force, before the error is raised.
        """
        net.heal_all()
        self._ports.clear()
        try:
            with self._volumes, self._targets:
                pass
        except BaseException:
            lio.clear()
            nvmet.sweep()
            raise

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

    def store(
        self, name: str, megabytes: int = 32, block: int = 512, *, uuid: str = '', nguid: str = ''
    ) -> nvmet.Store:
        """A new volume for NVMe (``nvmet.Store`` says what the arguments are)."""
        store = nvmet.Store(name, megabytes, block, uuid=uuid, nguid=nguid)
        self._volumes.callback(store.close)
        return store

    def port(self, address: str, transport: str, service: str = nvmet.SERVICE) -> nvmet.Port:
        """The port at this address: a new one, or the one that another subsystem uses."""
        key = (address, transport, service)
        port = self._ports.get(key) if address else None
        if port is None:
            port = self._ports[key] = nvmet.Port(transport, address, service)
            self._targets.callback(port.close)
        return port

    def subsystem(
        self,
        name: str,
        ports: int | Sequence[str] = 1,
        transport: str = 'tcp',
        service: str = nvmet.SERVICE,
    ) -> nvmet.Subsystem:
        """A new NVMe subsystem on the transport's first so many addresses, or on these."""
        nvmet.load(transport)
        chosen = nvmet.addresses(transport)[:ports] if isinstance(ports, int) else ports
        made = [self.port(address, transport, service) for address in chosen]
        subsystem = nvmet.Subsystem(name, made)
        self._targets.callback(subsystem.close)
        return subsystem
