# SPDX-License-Identifier: Apache-2.0
"""What holds for every unit test: root functions run in this process, as whoever runs the tests."""

from collections.abc import Iterator

import pytest

from os_brick import privileged


@pytest.fixture(autouse=True, scope='session')
def _without_daemon() -> Iterator[None]:
    privileged.default.set_client_mode(False)
    yield
    privileged.default.set_client_mode(True)
