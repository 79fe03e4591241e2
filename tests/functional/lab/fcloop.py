# SPDX-License-Identifier: Apache-2.0
"""NVMe over Fibre Channel without a card: the kernel's fcloop.

One local (host) port sees every target port of ``TARGETS``. A path is cut by taking the target port
away; a remote port that is taken away comes back without its target and refuses for ever, so those
stay, like the local port, until the machine goes.
"""

import pathlib

from tests.functional.lab import shell

_CONTROL = pathlib.Path('/sys/class/fcloop/ctl')
_HOST = 0
# Two of them on the host's one port.
TARGETS = (1, 2)
_cut: set[int] = set()


def _names(number: int) -> tuple[str, str]:
    return f'0x1000000000000{number:03x}', f'0x2000000000000{number:03x}'


def address(number: int) -> str:
    """``nn-0x…:pn-0x…`` of a target port, as nvmet and ``traddr`` want it."""
    node, port = _names(number)
    return f'nn-{node}:pn-{port}'


def host_address() -> str:
    """The same of the host's port, for ``host_traddr``."""
    return address(_HOST)


def up() -> None:
    """Make the ports unless they are there."""
    if _CONTROL.exists():
        return
    shell.modules('nvmet-fc', 'nvme-fc', 'nvme-fcloop')
    node, port = _names(_HOST)
    shell.write(_CONTROL / 'add_local_port', f'wwnn={node},wwpn={port}')
    for number in TARGETS:
        theirs = _text(number)
        shell.write(_CONTROL / 'add_target_port', theirs)
        # Without roles (0x20 target, 0x40 discovery) the host never asks the port anything.
        more = f'lpwwnn={node},lpwwpn={port},roles=0x60'
        shell.write(_CONTROL / 'add_remote_port', f'{theirs},{more}')


def _text(number: int) -> str:
    node, port = _names(number)
    return f'wwnn={node},wwpn={port}'


def cut(number: int) -> None:
    """Take a target port away: what goes on fails, new connections do."""
    if number not in _cut:
        shell.write(_CONTROL / 'del_target_port', _text(number))
        _cut.add(number)


def heal(number: int) -> None:
    """Put the target port back; nvmet's port finds it by its name."""
    if number in _cut:
        shell.write(_CONTROL / 'add_target_port', _text(number))
        _cut.discard(number)
