# SPDX-License-Identifier: Apache-2.0
"""What a command prints: one result in six formats, with cliff's names of options.

JSON and YAML are the contract: ``schema`` names the form and its version; keys are only added
within a version. ``tree`` and ``table`` are for people and may change.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
import dataclasses
import locale
import os
import re
import sys
from typing import Any, TextIO

from os_brick.cmd import exits

FORMATS = ('tree', 'table', 'json', 'yaml', 'value', 'csv')

_COLOURS = {'good': '32', 'warn': '33', 'bad': '31', 'dim': '2', 'strong': '1'}
_SIGNS = {
    '├─': '|-', '└─': '`-', '│': '|', '─': '-', '→': '->', '…': '...', '×': 'x', '·': '-',
}  # fmt: skip
# Controls that a name from an array, a file or a process may hold, and a terminal would obey.
_CONTROLS = re.compile('[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]')


@dataclasses.dataclass(frozen=True, slots=True)
class Console:
    """Where a command's result goes, and what it understands there.

    :ivar is_unicode: whether more than ASCII can be printed.
    :ivar has_colour: whether to print colours.
    :ivar width: how many columns a line has at most; 0: any number.
    """

    stdout: TextIO
    stderr: TextIO
    is_unicode: bool = True
    has_colour: bool = False
    width: int = 0

    def paint(self, text: str, colour: str) -> str:
        """A text in a colour: ``good``, ``warn``, ``bad``, ``dim`` or ``strong``."""
        if not (self.has_colour and text):
            return text
        return f'\x1b[{_COLOURS[colour]}m{text}\x1b[0m'

    def plain(self, text: str) -> str:
        """A text from outside, as it may be printed: no control reaches the terminal."""
        return _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], text)

    def spelled(self, text: str) -> str:
        """A whole text in the characters that can be printed."""
        if self.is_unicode:
            return text
        for sign, instead in _SIGNS.items():
            text = text.replace(sign, instead)
        return text.encode('ascii', 'backslashreplace').decode()


def console_of(options: Any, stdout: TextIO, stderr: TextIO) -> Console:
    """What a stream understands: the locale's characters, colours on a terminal alone.

    ``NO_COLOR`` (no-color.org), ``TERM=dumb`` and ``--no-color`` switch colours off.
    """
    no_colour = options.no_color or os.environ.get('NO_COLOR') or os.environ.get('TERM') == 'dumb'
    return Console(
        stdout,
        stderr,
        is_unicode=_takes_unicode(stdout),
        has_colour=stdout.isatty() and not no_colour,
        width=options.max_width,
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """Rows under columns; columns are called as in JSON (``snake_case``)."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[object]]

    def chosen(self, columns: Sequence[str], by: Sequence[str]) -> Table:
        """The table with these columns alone, sorted by others; all, and as it is, for none.

        :raises CommandError: for a column that there is not.
        """
        wanted = [self._index(name) for name in columns] or list(range(len(self.columns)))
        rows = list(self.rows)
        for name in reversed(by):
            index = self._index(name)
            rows.sort(key=lambda row, at=index: _sortable(row[at]))  # type: ignore[misc]
        return Table(
            tuple(self.columns[index] for index in wanted),
            tuple(tuple(row[index] for index in wanted) for row in rows),
        )

    def _index(self, name: str) -> int:
        spelled = name.lower().replace(' ', '_').replace('-', '_')
        if spelled in self.columns:
            return self.columns.index(spelled)
        raise exits.usage(
            f'There is no column {name}.', f'The columns are {", ".join(self.columns)}.'
        )


def _sortable(value: object) -> tuple[int, float, str]:
    is_number = isinstance(value, int | float)
    return (0, float(value), '') if is_number else (1, 0.0, str(value))  # type: ignore[arg-type]


@dataclasses.dataclass(frozen=True, slots=True)
class Output:
    """The result of a command in every format.

    :ivar document: for JSON and YAML; plain values only, ``schema`` first.
    :ivar table: for ``table``, ``value`` and ``csv``; values as programs want them.
    :ivar text: for people: the command's own form; ``None`` where the table is.
    :ivar code: the exit code.
    :ivar notes: what to print on the standard error beside it, such as what could not be read.
    :ivar shown: how a value of a column is printed for people, by the column's name.
    """

    document: Mapping[str, Any]
    table: Table
    text: Callable[[Console], str] | None = None
    code: exits.Exit = exits.Exit.OK
    notes: tuple[str, ...] = ()
    shown: Mapping[str, Callable[[Any], str]] = dataclasses.field(default_factory=dict)


def rendered(output: Output, options: Any, console: Console) -> str:
    """The text of a result in the format that was asked for.

    :raises CommandError: for a column that there is not, or a format that this host cannot make.
    """
    chosen = output.table.chosen(options.column or (), options.sort_column or ())
    default = 'tree' if output.text is not None and not options.column else 'table'
    form = options.format or default
    if form == 'tree' and output.text is not None:
        return console.spelled(_cut(output.text(console), console.width))
    if form in ('tree', 'table'):
        return console.spelled(_cut(_tabular(chosen, output.shown, console), console.width))
    if form == 'value':
        return console.spelled('\n'.join(' '.join(map(_plain, row)) for row in chosen.rows))
    return {'json': _json, 'yaml': _yaml, 'csv': _csv}[form](output, chosen, options, console)


def _cut(text: str, width: int) -> str:
    if not width:
        return text
    return '\n'.join(_cut_line(line, width) for line in text.split('\n'))


def _cut_line(line: str, width: int) -> str:
    if width_of(line) <= width:
        return line
    while width_of(line) > width - 1:
        line = line[:-1]
    return f'{line}…'


def width_of(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    import unicodedata  # only for names that are not ASCII

    def width(sign: str) -> int:
        if unicodedata.category(sign) in ('Mn', 'Me', 'Cf'):
            return 0
        return 2 if unicodedata.east_asian_width(sign) in 'WF' else 1

    return sum(map(width, text))


def padded(text: str, width: int) -> str:
    """A text with blanks behind it up to so many columns."""
    return text + ' ' * (width - width_of(text))


def _plain(value: object) -> str:
    if value is None:
        return ''
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ','.join(map(_plain, value))
    return _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], str(value))


def _tabular(table: Table, shown: Mapping[str, Callable[[Any], str]], console: Console) -> str:
    """Columns side by side under a line of capitals, as kubectl and docker print them."""
    cells = [
        [
            console.plain(shown.get(name, _plain)(value)) or '-'
            for name, value in zip(table.columns, row, strict=True)
        ]
        for row in table.rows
    ]
    head = [name.replace('_', ' ').upper() for name in table.columns]
    widths = [max(map(width_of, column)) for column in zip(head, *cells, strict=True)]

    def line(row: Sequence[str]) -> str:
        return '  '.join(map(padded, row, widths))

    return '\n'.join(line(row).rstrip() for row in (head, *cells))


def _json(output: Output, _table: Table, options: Any, console: Console) -> str:
    import json

    indent = None if options.noindent else 2
    return json.dumps(output.document, indent=indent, ensure_ascii=not console.is_unicode)


def _yaml(output: Output, _table: Table, _options: Any, console: Console) -> str:
    try:
        import yaml
    except ImportError:
        raise exits.CommandError(
            'no-yaml',
            'YAML needs the Python library PyYAML, which is not installed.',
            exit_code=exits.Exit.USAGE,
            remedy='Install it (python3-yaml), or take -f json.',
        ) from None
    text: str = yaml.safe_dump(
        dict(output.document), sort_keys=False, allow_unicode=console.is_unicode
    )
    return text.rstrip('\n')


def _csv(_output: Output, table: Table, _options: Any, _console: Console) -> str:
    import csv
    import io

    stream = io.StringIO()
    writer = csv.writer(stream, quoting=csv.QUOTE_NONNUMERIC, lineterminator='\n')
    writer.writerow(table.columns)
    for row in table.rows:
        numeric = (int, float)
        writer.writerow(
            [
                value
                if isinstance(value, numeric) and not isinstance(value, bool)
                else _plain(value)
                for value in row
            ]
        )
    return stream.getvalue().rstrip('\n')


def bytes_text(count: int | None) -> str:
    """A size for people, exact where it can be: ``64 GiB``, ``1.5 TiB``."""
    if count is None:
        return '?'
    value = float(count)
    for unit in ('B', 'KiB', 'MiB', 'GiB', 'TiB'):
        if value < 1024:
            return f'{value:.4g} {unit}' if value < 1000 else f'{value:.0f} {unit}'
        value /= 1024
    return f'{value:.4g} PiB'


def error_console() -> Console:
    """The standard error, for what fails before there are options."""
    return Console(sys.stdout, sys.stderr, is_unicode=_takes_unicode(sys.stderr))


def _takes_unicode(stream: TextIO) -> bool:
    encoding = getattr(stream, 'encoding', None) or locale.getpreferredencoding(False)  # noqa: FBT003 positional only
    return encoding.lower().replace('-', '').replace('_', '') == 'utf8'
