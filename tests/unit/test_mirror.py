# SPDX-License-Identifier: Apache-2.0
"""Each module that decides, or acts on the host, has a test file of its own name."""

import pathlib

import pytest

ROOT = pathlib.Path(__file__).parents[2]
PACKAGES = ('host', 'paths', 'plans')
LEAST_LINES = 25

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
    assert has_file or module in NOTHING_TO_TEST
