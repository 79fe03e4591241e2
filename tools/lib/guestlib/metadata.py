# SPDX-License-Identifier: Apache-2.0
"""Metadata as if os-brick were installed, for environments that take its code from a checkout."""

import pathlib

from guestlib import recipe

_METADATA = f"""\
Metadata-Version: 2.1
Name: os-brick
Version: {recipe.VERSION}
"""
_ENTRY_POINTS = """\
[oslo.config.opts]
os_brick = os_brick.opts:list_opts

[oslo.config.opts.defaults]
os_brick = os_brick.opts:set_defaults
"""


def write(packages: pathlib.Path) -> None:
    """Add what importlib.metadata (pbr, oslo.config's generator) asks for."""
    information = packages / f'os_brick-{recipe.VERSION}.dist-info'
    information.mkdir(exist_ok=True)
    (information / 'METADATA').write_text(_METADATA)
    (information / 'INSTALLER').write_text('tools/guest\n')
    (information / 'entry_points.txt').write_text(_ENTRY_POINTS)
