# SPDX-License-Identifier: Apache-2.0
"""The fake hosts as fixtures."""

from collections.abc import Iterator
import pathlib

import pytest

from tests.unit.fakehost import nvme as fake_nvme
from tests.unit.fakehost.fixtures import host  # noqa: F401
from tests.unit.host.one_namespace import Here


@pytest.fixture
def fabric(tmp_path: pathlib.Path) -> Iterator[fake_nvme.StrikingFabric]:
    """NVMe over Fabrics, where one act may go wrong."""
    with fake_nvme.striking(tmp_path) as found:
        yield found


@pytest.fixture
def here(fabric: fake_nvme.StrikingFabric) -> Here:
    """A namespace over two controllers."""
    return Here(fabric)
