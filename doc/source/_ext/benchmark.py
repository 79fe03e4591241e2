# SPDX-License-Identifier: Apache-2.0
"""The directives ``benchmark-table`` and ``benchmark-figures``: what tools/bench has measured."""

from __future__ import annotations

import pathlib
import sys
from typing import Any, ClassVar

from docutils import nodes, statemachine
from sphinx.util.docutils import SphinxDirective

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[3] / 'tools' / 'lib'))

from brickbench import document, figures, table


class _OfFile(SphinxDirective):
    """A directive with a JSON file, relative to the page, as its argument."""

    required_arguments = 1
    has_content = False
    option_spec: ClassVar[dict[str, Any]] = {}

    def _document(self) -> dict[str, Any]:
        _, path = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(path)
        return document.read(pathlib.Path(path))


class Table(_OfFile):
    """``.. benchmark-table:: FILE.json``: the rows, and below them when and where they are from."""

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        lines = table.rst(document.lines(self._document())).splitlines()
        place = nodes.section()
        self.state.nested_parse(statemachine.StringList(lines, self.arguments[0]), 0, place)
        return place.children


class Figures(_OfFile):
    """``.. benchmark-figures:: FILE.json``: every figure for which there are points."""

    def run(self) -> list[nodes.Node]:
        """Return the drawings with their captions."""
        known, found = self._document().get('figures', {}), []
        for figure in figures.FIGURES:
            measured = known.get(figure.name, {})
            drawing = figures.svg(figure, measured.get('series', {}))
            if drawing:
                text = f'{figure.title}. {measured["about"]}'
                found.append(nodes.raw('', drawing, format='html'))
                found.append(nodes.paragraph('', '', nodes.emphasis(text, text)))
        return found


def setup(app: Any) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive('benchmark-table', Table)
    app.add_directive('benchmark-figures', Figures)
    return {'parallel_read_safe': True}
