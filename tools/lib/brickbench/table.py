# SPDX-License-Identifier: Apache-2.0
"""The table as text for a terminal and as reStructuredText."""

from collections.abc import Sequence

from brickbench import rows

HEAD = ('operation', 'reference', '', 'ours', '', 'ratio', 'asked', 'met')
_SUB = ('', 'starts', 'time', 'starts', 'time', '', '', '')


def _time(cell: rows.Cell | None, unit: str) -> str:
    if cell is None:
        return '-'
    return f'{"> " if cell.at_least else ""}{cell.value:.{_digits(cell, unit)}f} {unit}'.rstrip()


def _digits(cell: rows.Cell, unit: str) -> int:
    return 0 if unit != 's' else 2 if cell.value >= 0.1 else 3


def _spread(cell: rows.Cell | None, unit: str) -> str:
    """From the least to the most, where there is more than one measurement."""
    if cell is None or len(cell.values) < 2:
        return ''
    least, most = cell.spread
    digits = _digits(cell, unit)
    return f' ({least:.{digits}f} to {most:.{digits}f})'


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


def rst(lines: Sequence[rows.Line]) -> str:
    """A list-table for the pages, and below it what is said of each row's measurement."""
    abouts = list(dict.fromkeys(line.about for line in lines if line.about))
    out = ['.. list-table::', '   :header-rows: 1', '']
    for row in [_HEADS, *(_rst_fields(line, abouts) for line in lines)]:
        for number, field in enumerate(row):
            out.append(f'   {"* -" if number == 0 else "  -"} {field}')
    out.append('')
    for number, about in enumerate(abouts, 1):
        out += [f'{number}. {about}']
    return '\n'.join(out) + '\n'


_HEADS = (
    *('Operation', 'Reference: starts', 'time', 'Ours: starts', 'time', 'beside'),
    *('Ratio', 'Asked', 'Met', 'Run'),
)


def _rst_fields(line: rows.Line, abouts: Sequence[str]) -> tuple[str, ...]:
    ours, theirs = line.cells.get(rows.OURS), line.cells.get(rows.REFERENCE)
    easier, unit = line.cells.get(rows.EASIER), line.row.unit
    (ratio, asked, met) = fields(line)[-3:]
    run = str(abouts.index(line.about) + 1) if line.about else '-'
    times = [_time(cell, unit) + _spread(cell, unit) for cell in (theirs, ours, easier)]
    left = (line.row.title, _starts(theirs), times[0], _starts(ours), times[1], times[2])
    return (*left, ratio, asked.replace('<=', '≤').replace('>=', '≥'), met, run)
