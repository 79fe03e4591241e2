# SPDX-License-Identifier: Apache-2.0
"""Reads the notes of attaches, as far as the rules need them."""

from __future__ import annotations

from os_brick.doctor import facts
from os_brick.doctor.readers.look import Look


def notes(_look: Look) -> tuple[facts.SeenNote, ...] | None:
    """The notes of the volumes that are attached, or about to be."""
    return ()
