# SPDX-License-Identifier: Apache-2.0
"""What to do about Fibre Channel volumes: which pairs of ports to use."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

from os_brick.request import fibre_channel as request_fc


class Port(Protocol):
    """A port of this host."""

    @property
    def host(self) -> int:
        """The number of its SCSI host."""

    @property
    def wwpn(self) -> str:
        """Its name."""


OwnPort = TypeVar('OwnPort', bound=Port)
RemotePort = TypeVar('RemotePort', bound=Port)


def port_pairs(
    ports: Iterable[OwnPort], remotes: Iterable[RemotePort], request: request_fc.FcRequest
) -> list[tuple[OwnPort, RemotePort, int]]:
    """Each pair of ports that see each other and lead to the volume, with its LUN.

    In the order of the array's ports as the caller named them.
    """
    seen = list(remotes)
    found = [
        (port, remote, target.lun)
        for port in ports
        for target in request.reached_from(port.wwpn)
        for remote in seen
        if (remote.host, remote.wwpn) == (port.host, target.wwpn)
    ]
    order = {target.wwpn: number for number, target in enumerate(request.target_ports)}
    return sorted(found, key=lambda pair: order.get(pair[1].wwpn, len(order)))
