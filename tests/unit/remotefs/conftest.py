# SPDX-License-Identifier: Apache-2.0
"""A host with servers of remote file systems."""

from collections.abc import Iterator
import pathlib

import pytest

from tests.unit.fakehost import shares


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[shares.Shares]:
    with shares.Shares(tmp_path) as found:
        yield found
