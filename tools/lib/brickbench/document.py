# SPDX-License-Identifier: Apache-2.0
"""What was measured as a JSON document: written act by act, joined with older ones, read back.

A later run replaces the rows and figures that it has measured and leaves the others alone, so a
document may hold rows of several days; each says when and where it was measured.
"""

from collections.abc import Mapping, Sequence
import dataclasses
import json
import pathlib
from typing import Any

from brickbench import rows

Document = dict[str, Any]
# Figure, series and place on the axis, to what was measured there.
Points = Mapping[tuple[str, str, float], Sequence[float]]


def of_run(lines: Sequence[rows.Line], points: Points, about: str) -> Document:
    """The document of what one run has measured until now."""
    figures: dict[str, Any] = {}
    for (name, series, across), values in points.items():
        figure = figures.setdefault(name, {'about': about, 'series': {}})
        figure['series'].setdefault(series, []).append([across, list(values)])
    return {'rows': {one.row.name: _row(one) for one in lines if one.cells}, 'figures': figures}


def _row(line: rows.Line) -> dict[str, Any]:
    return {
        'about': line.about,
        'problem': line.problem,
        'sides': {side: dataclasses.asdict(cell) for side, cell in line.cells.items()},
    }


def joined(old: Document, new: Document) -> Document:
    """The old one, with what the new one has in its place."""
    return {part: {**old.get(part, {}), **new.get(part, {})} for part in ('rows', 'figures')}


def lines(document: Document) -> list[rows.Line]:
    """Every row that there is, those without a measurement too."""
    found = []
    for row in rows.ROWS:
        known = document.get('rows', {}).get(row.name, {})
        cells = {side: _cell(one) for side, one in known.get('sides', {}).items()}
        found.append(rows.Line(row, cells, known.get('problem', ''), known.get('about', '')))
    return found


def _cell(known: dict[str, Any]) -> rows.Cell:
    tuples = {key: tuple(known[key]) for key in ('values', 'programs')}
    return rows.Cell(**{**known, **tuples})


def read(path: pathlib.Path) -> Document:
    """A document; an empty one where there is no file.

    :raises ValueError: if the file is something else.
    """
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    if not isinstance(found, dict) or 'rows' not in found:
        raise ValueError(f'{path} was not written by tools/bench')
    return found


def write(path: pathlib.Path, document: Document) -> None:
    """Write a document such that a reader, or one that comes after a kill, finds a whole one."""
    fresh = path.with_name(f'{path.name}.new')
    fresh.write_text(json.dumps(document, indent=1, sort_keys=True) + '\n')
    fresh.rename(path)


def add(path: pathlib.Path, new: Document) -> None:
    """Join a run's document with the one that is in a file, there."""
    write(path, joined(read(path), new))
