# SPDX-License-Identifier: Apache-2.0
"""NVMe over Fibre Channel without a card: the kernel's fcloop.

One local (host) port sees every target port. A path is cut by taking the target port away; a remote
port that is taken away comes back without its target and refuses for ever. nvmet's port is bound
to a target port that was cut and healed just once: a second one binds to the dead half, and every
association fails. So each port of the lab gets a target port of its own, which stays, like the
local port, until the machine goes.
"""

import pathlib

from tests.functional.lab import shell

_CONTROL = pathlib.Path('/sys/class/fcloop/ctl')
_PORTS = pathlib.Path('/run/lab-fcloop')
_HOST = 0


def _names(number: int) -> tuple[str, str]:
    return f'0x1000000000000{number:03x}', f'0x2000000000000{number:03x}'


def _text(number: int) -> str:
    node, port = _names(number)
    return f'wwnn={node},wwpn={port}'


def _address(number: int) -> str:
    node, port = _names(number)
    return f'nn-{node}:pn-{port}'


def host_address() -> str:
    """``nn-0x…:pn-0x…`` of the host's port, for ``host_traddr``."""
    return _address(_HOST)


class TargetPort:
    """A new target port, which the host's port sees."""

    def __init__(self) -> None:
        up()
        # Across runs of the laboratory in one boot.
        self._number = int(shell.read(_PORTS) or _HOST) + 1
        _PORTS.write_text(str(self._number))
        self._is_cut = False
        node, port = _names(_HOST)
        theirs = _text(self._number)
        shell.write(_CONTROL / 'add_target_port', theirs)
        # Without roles (0x20 target, 0x40 discovery) the host never asks the port anything.
        more = f'lpwwnn={node},lpwwpn={port},roles=0x60'
        shell.write(_CONTROL / 'add_remote_port', f'{theirs},{more}')

    @property
    def address(self) -> str:
        """``nn-0x…:pn-0x…``, as nvmet and ``traddr`` want it."""
        return _address(self._number)

    def cut(self) -> None:
        """Take the port away: what goes on fails, new connections do."""
        if not self._is_cut:
            shell.write(_CONTROL / 'del_target_port', _text(self._number))
            self._is_cut = True

    def heal(self) -> None:
        """Put the port back; nvmet's port finds it by its name."""
        if self._is_cut:
            shell.write(_CONTROL / 'add_target_port', _text(self._number))
            self._is_cut = False


def up() -> None:
    """Make the host's port unless it is there."""
    if _CONTROL.exists():
        return
    shell.modules('nvmet-fc', 'nvme-fc', 'nvme-fcloop')
    node, port = _names(_HOST)
    shell.write(_CONTROL / 'add_local_port', f'wwnn={node},wwpn={port}')
