# SPDX-License-Identifier: Apache-2.0
"""Options at their limits."""

from collections.abc import Iterator

from oslo_config import cfg
import pytest

from os_brick import opts


@pytest.fixture(params=['wait_mpath_device_attempts', 'wait_mpath_device_interval'])
def _huge(request: pytest.FixtureRequest) -> Iterator[None]:
    cfg.CONF.set_override(request.param, 10**400, group='os_brick')
    yield
    cfg.CONF.clear_override(request.param, group='os_brick')


@pytest.mark.usefixtures('_huge')
def test_a_huge_number_of_questions_is_a_long_wait() -> None:
    """It was an OverflowError of every operation, whatever the protocol."""
    assert opts.current().map_ready_seconds == 86400
