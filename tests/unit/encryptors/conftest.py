# SPDX-License-Identifier: Apache-2.0
"""The fixture of all tests of encryptors."""

import pytest

from tests.unit.encryptors import support
from tests.unit.fakehost.fixtures import host  # noqa: F401
from tests.unit.fakehost.host import Host


@pytest.fixture
def world(host: Host) -> support.World:  # noqa: F811
    return support.World(host)
