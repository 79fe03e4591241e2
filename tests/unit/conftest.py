# SPDX-License-Identifier: Apache-2.0
"""What holds for every unit test: root functions run in this process, without root."""

from collections.abc import Iterator

import hypothesis
import pytest

from os_brick import privileged

# A machine with other work takes longer now and then, which says nothing of the code.
hypothesis.settings.register_profile('os-brick', deadline=None)
hypothesis.settings.load_profile('os-brick')


@pytest.fixture(autouse=True, scope='session')
def _without_daemon() -> Iterator[None]:
    privileged.default.set_client_mode(False)
    yield
    privileged.default.set_client_mode(True)
