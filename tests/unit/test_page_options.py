# SPDX-License-Identifier: Apache-2.0
"""Options as the pages tell of them: they exist, and have the defaults that are named."""

import re

from oslo_config import cfg
import pytest

from os_brick import opts, privileged
from os_brick.initiator.connectors import lightos
from tests import pages

assert privileged.default  # registers [privsep_osbrick]
OURS: dict[str, cfg.Opt] = {
    option.name: option
    for each in (opts, lightos)
    for _group, options in each.list_opts()
    for option in options
}
NAMES = {
    'os_brick': set(OURS),
    'privsep_osbrick': {name.replace('-', '_') for name in cfg.CONF.privsep_osbrick},
    'oslo_concurrency': {'lock_path', 'disable_process_locking'},
    'libvirt': {'volume_use_multipath', 'num_iscsi_scan_tries'},  # nova 34.0.0
}
USER = [*sorted(pages.USER.glob('*.rst')), pages.DOC / 'reference' / 'options.rst']


def _settings(text: str) -> set[tuple[str, str]]:
    """Group and name of each option on a page: ``[os_brick] lock_path``, and in a file's lines."""
    found = set()
    for group, names in re.findall(r'``\[(\w+)\] (\w+)``', ' '.join(text.split())):
        found.add((group, names))
    for block in pages.blocks(text):
        group = ''
        for line in block.splitlines():
            if match := re.fullmatch(r'\[(\w+)\]', line):
                group = match[1]
            elif group and (match := re.match(r'(\w+) = ', line)):
                found.add((group, match[1]))
    return found


@pytest.mark.parametrize('page', USER, ids=lambda page: page.name)
def test_an_option_that_is_named_exists(page) -> None:
    for group, name in _settings(page.read_text()):
        assert name in NAMES.get(group, ()), (group, name)


def test_options_were_found() -> None:
    every = {each for page in USER for each in _settings(page.read_text())}
    assert ('os_brick', 'lock_path') in every
    assert ('privsep_osbrick', 'helper_command') in every
    assert _settings('x::\n\n  [os_brick]\n  lok_path = /x\n') == {('os_brick', 'lok_path')}


TEXT = ' '.join(' '.join(page.read_text() for page in USER).split())


@pytest.mark.parametrize('name', sorted(OURS))
def test_an_option_is_on_a_page_that_people_wrote(name: str) -> None:
    assert f'``{name}``' in TEXT or f'] {name}``' in TEXT


DEFAULTS = re.findall(r'``(\w+)`` \((?:[a-z``, ]+, )?default ([^)]+)\)', TEXT)


@pytest.mark.parametrize(('name', 'default'), DEFAULTS)
def test_a_default_is_the_one_of_the_code(name: str, default: str) -> None:
    value = OURS[name].default if name in OURS else cfg.CONF.privsep_osbrick[name]
    known = {'empty': [], 'false': False, 'true': True}.get(default)
    assert value == known if known is not None else str(value) == default.strip('`')


def test_defaults_were_found() -> None:
    assert {'operation_timeout', 'luks_format', 'thread_pool_size'} <= {
        name for name, _ in DEFAULTS
    }
