# SPDX-License-Identifier: Apache-2.0
"""How broad a test is: as broad as it can be with ``tools/test --all``, and a part of that in CI.

A promise is kept by CI; what is left out there is repetition: a fault at each act instead of at
every other one, more random histories, more spellings of the same mistake.
"""

import os

EVERYTHING = 'OS_BRICK_TEST_ALL' in os.environ


def acts(number: int, stride: int, most: int) -> range:
    """Return the acts at which a test's case of this number strikes; cases take turns.

    :param stride: each so many acts, unless all are wanted.
    """
    return range(most) if EVERYTHING else range(number % stride, most, stride)


def examples(few: int, many: int) -> int:
    """Return how many random examples are tried."""
    return many if EVERYTHING else few
