# SPDX-License-Identifier: Apache-2.0
"""A host of its own for each test."""

from collections.abc import Iterator
import pathlib

import pytest

from tests.unit.fakehost import host as fake_host


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[fake_host.Host]:
    with fake_host.Host(tmp_path) as found:
        yield found
