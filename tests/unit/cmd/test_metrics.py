# SPDX-License-Identifier: Apache-2.0
"""Metrics: what is counted only grows, no label can be anything, and the file is a whole one."""

import dataclasses
import pathlib
import re
from typing import Any

import pytest

from os_brick.cmd import exposition, main
from os_brick.cmd.exits import Exit
from os_brick.initiator.connectors import iscsi
from os_brick.model import note
from tests.unit.fakehost import array
from tests.unit.fakehost.fixtures import host  # noqa: F401

PAST = note.Past('attach', 'iscsi', 'done', 100.0, 0.7, 0.2)
# https://prometheus.io/docs/instrumenting/exposition_formats/, text format 0.0.4.
LINE = re.compile(
    r'# (HELP|TYPE) os_brick_[a-z_]+ .+'
    r'|os_brick_[a-z_]+\{([a-z_]+="[^"\\\n]*"(,[a-z_]+="[^"\\\n]*")*)?\} [0-9.e+-]+'
    r'|# os-brick counted until [0-9.]+'
)


def _text(*operations: note.Past, before: str = '', now: float = 1e9) -> str:
    return exposition.rendered(exposition.added(exposition.parsed(before), operations, now), [])


def _value(text: str, start: str) -> float:
    (line,) = [each for each in text.splitlines() if each.startswith(start)]
    return float(line.rpartition(' ')[2])


def test_a_histogram() -> None:
    text = _text(PAST, dataclasses.replace(PAST, at=101.0, seconds=200.0))
    assert all(LINE.fullmatch(line) for line in text.splitlines())
    of = 'operation="attach",protocol="iscsi",outcome="done"'
    name = exposition.DURATION
    assert _value(text, f'{name}_bucket{{{of},le="0.5"}}') == 0
    assert _value(text, f'{name}_bucket{{{of},le="1"}}') == 1
    assert _value(text, f'{name}_bucket{{{of},le="+Inf"}}') == 2
    assert _value(text, f'{name}_count{{{of}}}') == 2
    assert _value(text, f'{name}_sum{{{of}}}') == 200.7
    bounds = re.findall(r'le="([^"]+)"', text)
    assert bounds == [*map(str, exposition.BUCKETS), '+Inf']


def test_what_was_counted_is_not_counted_again_and_does_not_get_less() -> None:
    first = _text(PAST)
    assert _text(PAST, before=first) == first
    later = dataclasses.replace(PAST, at=102.0, code='VolumeInUse', outcome='failed')
    second = _text(later, before=first)  # The first has left the list by now.
    assert (
        _value(
            second,
            f'{exposition.DURATION}_count{{operation="attach",protocol="iscsi",outcome="done"}}',
        )
        == 1
    )
    assert (
        _value(
            second, f'{exposition.ERRORS}{{operation="attach",protocol="iscsi",code="VolumeInUse"}}'
        )
        == 1
    )
    assert _value(second, exposition.LOCK_WAIT + '{') == pytest.approx(0.4)


def test_a_clock_that_was_wrong() -> None:
    """What was noted in the future is not counted before its time, and hides nothing."""
    wrong = dataclasses.replace(PAST, at=1e17)
    first = _text(PAST, wrong)
    name = f'{exposition.DURATION}_count{{'
    assert _value(first, name) == 1
    later = dataclasses.replace(PAST, at=102.0)
    second = _text(PAST, wrong, later, before=first)
    assert _value(second, name) == 2
    assert _value(_text(PAST, wrong, later, before=second), name) == 2
    ahead = second.replace('until 102.0', 'until 5e17')
    fourth = dataclasses.replace(PAST, at=1e9 + 1)
    assert _value(_text(fourth, before=ahead, now=1e9), name) == 2
    assert _value(_text(fourth, before=_text(before=ahead, now=1e9), now=1e9 + 2), name) == 3


@pytest.mark.parametrize('before', ['', 'nonsense', 'os_brick_errors_total{} nan', '\x00' * 9])
def test_a_file_that_is_not_ours_counts_nothing(before: str) -> None:
    assert _text(PAST, before=before) == _text(PAST)


@pytest.mark.parametrize('word', ['a"b', 'x' * 300, 'a\nb', 'iqn.2026:x', '', 'a{b}'])
def test_a_label_is_a_word(word: str) -> None:
    text = _text(dataclasses.replace(PAST, protocol=word))
    assert 'protocol="other"' in text
    assert all(LINE.fullmatch(line) for line in text.splitlines())


def test_the_command(
    host: Any,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
    state_path: str,
) -> None:
    target = host.target('t1', portals=2)
    target.luns[1] = array.Unit()
    properties = {**target.properties(), 'volume_id': '8f0c2a4e-6d0b-4c31-9a55-3f0f5b0e7d11'}
    iscsi.ISCSIConnector(None, use_multipath=True).connect_volume(properties)
    host.tree.directory('/var/lib/node_exporter')
    words = ['metrics', '--no-findings', '--textfile', '/var/lib/node_exporter/os_brick.prom']
    assert main.main(words) == Exit.OK
    assert capsys.readouterr().out == ''
    place: pathlib.Path = host.tree.at(words[-1])
    first = place.read_text()
    assert all(LINE.fullmatch(line) for line in first.splitlines())
    assert _value(first, 'os_brick_volumes{protocol="iscsi"}') == 1
    assert _value(first, 'os_brick_paths{protocol="iscsi",state="usable"}') == 2
    assert _value(first, 'os_brick_noted_volumes{') == 1
    assert _value(first, 'os_brick_operations_unfinished{operation="attach"}') == 0
    for private in (properties['volume_id'], '127.0.0.1', target.luns[1].wwid, 'iqn.'):
        assert private not in first
    assert main.main(words) == Exit.OK
    assert place.read_text() == first
    assert [each.name for each in place.parent.iterdir()] == ['os_brick.prom']
    words[-1] = '/nothing/os_brick.prom'
    assert main.main(words) == Exit.UNREAD
    assert 'cannot be written' in capsys.readouterr().err
