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


@pytest.mark.parametrize('name', ['operation_timeout', 'scan_timeout'])
@pytest.mark.parametrize('value', ['nan', 'inf', '-inf', '1e10', '0', 'soon'])
def test_a_time_that_no_operation_can_have_is_refused_by_its_name(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=r'seconds|less|greater|float'):
        cfg.CONF.set_override(name, value, group='os_brick')


@pytest.mark.parametrize('value', ['0.1', '120', '3600'])
def test_a_time_that_an_operation_can_have(value: str) -> None:
    cfg.CONF.set_override('operation_timeout', value, group='os_brick')
    try:
        assert opts.current().operation_seconds == float(value)
    finally:
        cfg.CONF.clear_override('operation_timeout', group='os_brick')
