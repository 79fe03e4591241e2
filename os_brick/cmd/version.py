# SPDX-License-Identifier: Apache-2.0
"""``os-brick version``."""

from __future__ import annotations

import argparse
import platform

from os_brick.cmd.output import Console, Output, Table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It takes none."""


def run(options: argparse.Namespace, console: Console) -> Output:
    """The versions that a report of a fault has to name."""
    facts = {
        'os_brick': version(),
        'python': platform.python_version(),
        'kernel': platform.release(),
    }
    return Output(
        document={'schema': 'os-brick/version/1', **facts},
        table=Table(('what', 'version'), tuple(facts.items())),
        text=lambda console: '\n'.join(f'{key:9} {value}' for key, value in facts.items()),
    )


def version() -> str:
    """The version of os-brick."""
    import importlib.metadata  # takes 20 ms that no other command has to wait for

    try:
        return importlib.metadata.version('os-brick')
    except importlib.metadata.PackageNotFoundError:
        return 'unknown (os-brick is not installed, but run from its source)'
