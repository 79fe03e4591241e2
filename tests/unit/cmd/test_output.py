# SPDX-License-Identifier: Apache-2.0
"""How wide texts are, how sizes and colours are printed, and what a terminal is told."""

import argparse
import io

import pytest

from os_brick.cmd import output, tree


@pytest.mark.parametrize(
    ('text', 'width'), [('abc', 3), ('│', 1), ('漢字', 4), ('e\u0301', 1), ('a\u200bb', 2)]
)
def test_how_wide_a_text_is(text: str, width: int) -> None:
    assert output.width_of(text) == width
    assert output.width_of(output.padded(text, 9)) == 9


def test_columns_of_wide_names_stand_below_each_other() -> None:
    lines = tree.columns([['漢字', 'x'], ['abcdef', 'y']])
    assert [output.width_of(line) for line in lines] == [9, 9]


@pytest.mark.parametrize(('text', 'cut'), [('abcdefghijkl', 'abcdefghi…'), ('漢' * 6, '漢漢漢漢…')])
def test_a_line_is_cut_by_its_width(text: str, cut: str) -> None:
    assert output._cut(text, 10) == cut


@pytest.mark.parametrize(
    ('count', 'text'),
    [
        (None, '?'),
        (0, '0 B'),
        (512, '512 B'),
        (64 << 20, '64 MiB'),
        (1000 << 30, '1000 GiB'),
        (3 << 39, '1.5 TiB'),
        (1 << 60, '1024 PiB'),
    ],
)
def test_sizes(count: int | None, text: str) -> None:
    assert output.bytes_text(count) == text


class Terminal(io.StringIO):
    encoding = 'utf-8'

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ('variables', 'option', 'has_colour'),
    [({}, False, True), ({'NO_COLOR': '1'}, False, False), ({}, True, False)],
)
def test_colours(
    variables: dict[str, str], option: bool, has_colour: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ('NO_COLOR', 'TERM'):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    options = argparse.Namespace(no_color=option, max_width=0)
    assert output.console_of(options, Terminal(), Terminal()).has_colour is has_colour
    assert not output.console_of(options, io.StringIO(), Terminal()).has_colour
