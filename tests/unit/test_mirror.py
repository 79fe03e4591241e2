# SPDX-License-Identifier: Apache-2.0
"""Each module that decides, or acts on the host, has a test file of its own name."""

import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[2]
PACKAGES = ('host', 'paths', 'plans')
LEAST_LINES = 25

# Without one so far; this table gets shorter, and nothing is added to it. Where the module is
# tested today stands beside it.
ELSEWHERE = {
    'paths/fibre_channel': 'initiator/connectors/test_fibre_channel.py',
    'paths/fibre_channel_search': 'initiator/connectors/test_fibre_channel.py',
    'paths/scsi': 'initiator/connectors/test_iscsi.py',
    'paths/scsi_removal': 'initiator/connectors/test_iscsi_faults.py',
}
# Protocols, without code.
NOTHING_TO_TEST = {'paths/driver'}


def _modules() -> list[str]:
    return [
        f'{package}/{path.stem}'
        for package in PACKAGES
        for path in sorted((ROOT / 'os_brick' / package).glob('*.py'))
        if path.read_text().count('\n') > LEAST_LINES and path.stem != '__init__'
    ]


@pytest.mark.parametrize('module', _modules())
def test_a_module_has_its_test_file(module: str) -> None:
    package, _, name = module.rpartition('/')
    has_file = (ROOT / 'tests/unit' / package / f'test_{name}.py').exists()
    assert has_file or module in ELSEWHERE or module in NOTHING_TO_TEST


@pytest.mark.parametrize('module', ELSEWHERE)
def test_where_it_is_tested_exists(module: str) -> None:
    assert (ROOT / 'tests/unit' / ELSEWHERE[module]).exists()
