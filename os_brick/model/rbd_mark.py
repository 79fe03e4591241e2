# SPDX-License-Identifier: Apache-2.0
"""What a map of ours is known by: the name of its key, or the blanks of what the kernel was told.

A cluster without keys (cephx is off) leaves no name of a key. The kernel keeps what it was told as
it was written, and takes any blanks and tabs for what separates two words of it (Linux,
drivers/block/rbd.c, ``do_rbd_add`` and ``next_token``): the blanks before the last word are the
mark, in binary, then.
"""

from __future__ import annotations

import re

# What marks begin with: those of maps that attaches have made, and of those that are made to be
# asked which cluster answers.
MARK, PROBE_MARK = 'os-brick-map-', 'os-brick-probe-'

_MARK = re.compile(rf'({MARK}|{PROBE_MARK})([0-9a-f]{{8,32}})')
_BITS = str.maketrans('01', ' \t')
_DIGITS = str.maketrans(' \t', '01')
# One for the kind, and four for each digit.
_BLANKS = re.compile(r'(?<![ \t])([ \t])((?:[ \t]{4}){8,32})[^ \t]+')


def is_mark(value: object) -> bool:
    """Whether a text is a mark of ours, complete."""
    return isinstance(value, str) and _MARK.fullmatch(value) is not None


def blanks_of(mark: str) -> str:
    """The blanks that a mark is.

    :raises ValueError: if it is not one of ours.
    """
    match = _MARK.fullmatch(mark)
    if match is None:
        raise ValueError(f'{mark!r} is not a mark of a map')
    kind, digits = match.groups()
    bits = ''.join(f'{int(digit, 16):04b}' for digit in digits)
    return f'{int(kind == PROBE_MARK)}{bits}'.translate(_BITS)


def of_blanks(text: str) -> str:
    """The mark that the blanks before the last word of a text are; empty if they are none."""
    match = _BLANKS.search(text.rstrip('\n'))
    if match is None or match.end() != len(text.rstrip('\n')):
        return ''
    kind, bits = (each.translate(_DIGITS) for each in match.groups())
    digits = ''.join(f'{int(bits[at : at + 4], 2):x}' for at in range(0, len(bits), 4))
    return (MARK, PROBE_MARK)[int(kind)] + digits
