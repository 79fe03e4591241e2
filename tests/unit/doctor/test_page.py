# SPDX-License-Identifier: Apache-2.0
"""The page on findings has every one of them, with its words."""

import pathlib
import re

import pytest

from os_brick.doctor import catalogue, page

ROOT = pathlib.Path(__file__).parents[3]
TEXT = '\n'.join(page.text())


@pytest.mark.parametrize('name', catalogue.entries())
def test_every_finding_is_on_the_page(name: str) -> None:
    entry = catalogue.entries()[name]
    assert f'.. _finding-{name}:' in TEXT
    assert f':ref:`{name} <finding-{name}>`' in TEXT
    assert f'``{page.plain(entry.repair)}``' in TEXT


def test_no_word_is_left_unfilled() -> None:
    assert not re.search(r'(?<!\{)\{\w+\}', TEXT.replace('{ ', '').replace(' }', ''))


def test_the_page_asks_for_them() -> None:
    text = (ROOT / 'doc/source/user/doctor.rst').read_text()
    assert '.. findings::' in text
    assert "'findings'" in (ROOT / 'doc/source/conf.py').read_text()
