# SPDX-License-Identifier: Apache-2.0
"""What tools/bench makes of its measurements: rows, documents, tables, figures."""

import pathlib
import re
import sys
import xml.etree.ElementTree

import pytest

ROOT = pathlib.Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / 'tools' / 'lib'))

from brickbench import document, figures, rows, table  # noqa: E402

PAGE = ROOT / 'doc' / 'source' / 'contributor' / 'benchmark.json'
CHECK = rows.Row('one', 'attach', 'act', starts=1, ratio=0.5)


def line(ours, theirs=(), problem='', **more):
    """A line with these samples of ours and of the reference."""
    cells = {rows.OURS: rows.cell([rows.Sample(value, **more) for value in ours])} if ours else {}
    if theirs:
        cells[rows.REFERENCE] = rows.cell([rows.Sample(value) for value in theirs])
    return rows.Line(CHECK, cells, problem, 'somewhere')


def known(name, *values):
    """A line of a real row."""
    row = next(row for row in rows.ROWS if row.name == name)
    cell = rows.Cell(values=values, starts=2, programs=('iscsiadm',))
    return rows.Line(row, {rows.OURS: cell}, '', 'today')


@pytest.mark.parametrize(
    ('ours', 'theirs', 'problem', 'starts', 'met'),
    [
        ((1.0, 9.0, 1.1), (4.0,), '', ('a',), True),
        ((1.0, 9.0, 9.1), (4.0,), '', ('a',), False),
        ((1.0,), (4.0,), '', ('a', 'b'), False),
        ((1.0,), (4.0,), 'it broke', ('a',), False),
        ((1.0,), (), '', ('a',), None),
        ((), (4.0,), '', ('a',), False),
    ],
)
def test_a_row_is_met_by_its_medians(ours, theirs, problem, starts, met):
    """By the median of each side and by the programs; a problem or no measurement is not met."""
    assert line(ours, theirs, problem, programs=starts).met is met


def test_every_row_has_an_act_whose_time_is_known():
    """An estimate for each act, and none for an act that measures nothing."""
    assert {row.act for row in rows.ROWS} == set(rows.ESTIMATES)
    assert len(set(rows.NAMES)) == len(rows.NAMES)
    assert not set(rows.NAMES) & set(rows.GROUPS)


def test_a_group_is_its_rows():
    """A name may stand for several rows; no name at all for every row."""
    assert rows.chosen(['map', 'map-4', 'floor']) == ('map-4', 'map-8', 'floor')
    assert rows.chosen([]) == rows.NAMES
    assert rows.acts(rows.chosen(['many'])) == ['many', 'many-hole']


def test_rounds_beyond_the_most_cost_nothing():
    """An estimate grows with the rounds until the act has as many as it ever has."""
    assert rows.estimate('scale', 2) < rows.estimate('scale', 3) == rows.estimate('scale', 50)
    assert rows.estimate('one', 4) < rows.estimate('one', 5)


def test_a_run_replaces_its_own_rows_only(tmp_path):
    """What an earlier run has measured stays, unless this one has measured it too."""
    path = tmp_path / 'found.json'
    points = {('attach', 'ours', 4.0): [1.5, 2.5]}
    document.add(path, document.of_run([known('floor', 1.0)], points, 'a'))
    document.add(path, document.of_run([known('attach-1', 3.0, 5.0)], {}, 'b'))
    document.add(path, document.of_run([known('floor', 7.0)], {}, 'c'))
    found = {one.row.name: one for one in document.lines(document.read(path)) if one.cells}
    assert found['floor'].cells[rows.OURS].values == (7.0,)
    assert found['attach-1'].cells[rows.OURS].value == 4.0
    assert found['attach-1'].cells[rows.OURS].programs == ('iscsiadm',)
    assert document.read(path)['figures']['attach']['series'] == {'ours': [[4.0, [1.5, 2.5]]]}


def test_what_was_not_measured_is_not_written():
    """A row that was not begun does not take the place of an earlier measurement."""
    empty = rows.Line(known('floor', 1.0).row, {}, 'not begun', 'today')
    assert document.of_run([empty], {}, 'today') == {'rows': {}, 'figures': {}}


def test_another_file_is_not_overwritten(tmp_path):
    """A JSON file of something else is an error, and stays."""
    path = tmp_path / 'other.json'
    path.write_text('[1]')
    with pytest.raises(ValueError, match=r'other\.json was not written by tools/bench'):
        document.add(path, document.of_run([], {}, ''))
    assert path.read_text() == '[1]'


def test_the_page_shows_every_row():
    """The document of the page has no row that is gone, and the table has all there are."""
    found = document.read(PAGE)
    assert set(found['rows']) <= set(rows.NAMES)
    made = table.rst(document.lines(found))
    assert made.count('\n   * -') == 1 + len(rows.ROWS)
    assert len(set(re.findall(r'^\d+\. (.*)$', made, re.MULTILINE))) == len(
        {one['about'] for one in found['rows'].values()}
    )


def test_the_table_tells_the_spread():
    """The median, and the least and the most where there are several."""
    made = table.rst([line([1.0, 3.0, 2.0], [4.0], programs=('a',))])
    assert '     - 2.00 s (1.00 to 3.00)\n' in made
    assert '     - 4.00 s\n' in made
    assert made.endswith('     - 1\n\n1. somewhere\n')


@pytest.mark.parametrize(
    'series',
    [
        {'ours': [(1.0, [0.5]), (64.0, [8.0, 9.0])], 'reference <7>': [(1.0, [0.1])]},
        {'ours': [(0.0, [2.0, 2.1])]},
        {'ours': [(0.0, [0.0]), (1.0, [3.0])], 'none': [(0.0, [])]},
    ],
)
def test_a_figure_is_a_drawing(series):
    """Well-formed, with a point for each place, and everything within its frame."""
    drawing = xml.etree.ElementTree.fromstring(figures.svg(figures.FIGURES[0], series))
    circles = [each for each in drawing.iter() if each.tag.endswith('circle')]
    assert len(circles) == sum(bool(values) for line in series.values() for _, values in line)
    _, _, width, height = map(float, drawing.attrib['viewBox'].split())
    assert all(0 <= float(each.attrib['cx']) <= width for each in circles)
    assert all(0 <= float(each.attrib['cy']) <= height for each in circles)


def test_nothing_measured_is_no_drawing():
    """Not an empty frame."""
    assert figures.svg(figures.FIGURES[0], {'ours': []}) == ''
