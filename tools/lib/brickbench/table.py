# SPDX-License-Identifier: Apache-2.0
"""The table as text for a terminal, as reStructuredText and as JSON."""

from collections.abc import Sequence
import json
import pathlib

from brickbench import rows

HEAD = ('operation', 'reference', '', 'ours', '', 'ratio', 'asked', 'met')
_SUB = ('', 'starts', 'time', 'starts', 'time', '', '', '')


def _time(cell: rows.Cell | None, unit: str) -> str:
    if cell is None:
        return '-'
    digits = 0 if unit == 'MiB' else 2 if cell.value >= 0.1 else 3
    return f'{"> " if cell.at_least else ""}{cell.value:.{digits}f} {unit}'


def _starts(cell: rows.Cell | None) -> str:
    return '-' if cell is None or cell.starts is None else str(cell.starts)


def fields(line: rows.Line) -> tuple[str, ...]:
    """One line of the table."""
    ours, theirs = line.cells.get(rows.OURS), line.cells.get(rows.REFERENCE)
    easier = line.cells.get(rows.EASIER)
    unit = line.row.unit
    ratio = '-' if line.ratio is None else f'{line.ratio:.3f}'
    took = _time(ours, unit) + (f' ({_time(easier, unit)})' if easier else '')
    met = {True: 'yes', False: 'NO', None: '-'}[line.met]
    met = met if ours else 'not measured'
    left = (line.row.title, _starts(theirs), _time(theirs, unit), _starts(ours), took)
    return (*left, ratio, line.bar or '-', met)


def text(lines: Sequence[rows.Line]) -> str:
    """For a terminal, with the programs of ours and what went wrong below."""
    table = [HEAD, _SUB, *(fields(line) for line in lines)]
    widths = [max(len(row[n]) for row in table) for n in range(len(HEAD))]
    out = [
        '  '.join(f'{field:{width}}' for field, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]
    out.insert(2, '  '.join('-' * width for width in widths))
    out += [f'{line.row.title}: {line.problem}' for line in lines if line.problem]
    return '\n'.join(out)


def rst(lines: Sequence[rows.Line], about: str) -> str:
    """A list-table for the documentation."""
    heads = ('Operation', 'Reference: starts', 'time', 'Ours: starts', 'time', 'Ratio')
    out = ['.. Made by tools/bench; do not edit.', '', about, '', '.. list-table::']
    out += ['   :header-rows: 1', '']
    for row in [(*heads, 'Asked', 'Met'), *(fields(line) for line in lines)]:
        for number, field in enumerate(row):
            out.append(f'   {"* -" if number == 0 else "  -"} {field.replace("<=", "≤")}')
    return '\n'.join(out) + '\n'


def as_json(lines: Sequence[rows.Line], about: str) -> str:
    """Every figure, for programs."""
    found = {
        line.row.name: {
            'title': line.row.title,
            'unit': line.row.unit,
            'ratio': line.ratio,
            'asked': line.bar,
            'met': line.met,
            'problem': line.problem,
            **{
                side: {
                    'value': cell.value,
                    'at_least': cell.at_least,
                    'starts': cell.starts,
                    'rounds': cell.rounds,
                    'programs': cell.programs,
                }
                for side, cell in line.cells.items()
            },
        }
        for line in lines
    }
    return json.dumps({'about': about, 'rows': found}, indent=1) + '\n'


def write(path: pathlib.Path, lines: Sequence[rows.Line], about: str) -> None:
    """Write JSON to ``*.json`` and reStructuredText to anything else."""
    made = as_json(lines, about) if path.suffix == '.json' else rst(lines, about)
    path.write_text(made)
