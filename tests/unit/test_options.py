# SPDX-License-Identifier: Apache-2.0
"""Options at their limits."""

from collections.abc import Iterator
import configparser
import importlib
import pathlib

from oslo_config import cfg
import pytest

from os_brick import opts

ROOT = pathlib.Path(__file__).parents[2]


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


def _listed() -> dict[str, cfg.Opt]:
    """The options that oslo-config-generator finds by the entry points of setup.cfg."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / 'setup.cfg')
    points = setup['entry_points']['oslo.config.opts'].split('\n')
    targets = [line.partition('=')[2].strip() for line in points if '=' in line]
    found: dict[str, cfg.Opt] = {}
    for target in targets:
        module, _colon, function = target.partition(':')
        for group, options in getattr(importlib.import_module(module), function)():
            assert group == 'os_brick'
            assert not found.keys() & {each.name for each in options}, 'an option is listed twice'
            found |= {each.name: each for each in options}
    return found


def test_the_generator_finds_every_option() -> None:
    for path in (ROOT / 'os_brick').rglob('*.py'):
        module = '.'.join(path.relative_to(ROOT).with_suffix('').parts)
        if 'cfg.CONF.register' in path.read_text():
            importlib.import_module(module)
    assert set(_listed()) == {name.replace('-', '_') for name in cfg.CONF.os_brick}


@pytest.mark.parametrize('name', sorted(_listed()))
def test_an_option_says_what_it_does(name: str) -> None:
    option = _listed()[name]
    assert option.help
    assert option.help.endswith('.')


def test_the_page_shows_the_options_of_every_entry_point() -> None:
    page = (ROOT / 'doc' / 'source' / 'reference' / 'options.rst').read_text()
    setup = configparser.ConfigParser()
    setup.read(ROOT / 'setup.cfg')
    points = setup['entry_points']['oslo.config.opts'].split('\n')
    names = {line.partition('=')[0].strip() for line in points if '=' in line}
    assert names == {line.strip() for line in page.splitlines() if line.startswith('   os_brick')}
