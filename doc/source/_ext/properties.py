# SPDX-License-Identifier: Apache-2.0
"""The directive ``properties``: a table of the keys of a class of connection properties."""

from __future__ import annotations

from typing import Any, ClassVar

from docutils import nodes, statemachine
from sphinx.util.docutils import SphinxDirective

from os_brick.initiator import properties


class Properties(SphinxDirective):
    """``.. properties:: ISCSI``: the keys of ``properties.ISCSI`` and of the classes it extends."""

    required_arguments = 1
    has_content = False
    option_spec: ClassVar[dict[str, Any]] = {}

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        kind = getattr(properties, self.arguments[0])
        lines = ['.. list-table::', '   :header-rows: 1', '   :widths: 40 60', '']
        rows = [('key', 'type'), *((f'``{key}``', f'``{text}``') for key, text in keys(kind))]
        for key, text in rows:
            lines += [f'   * - {key}', f'     - {text}']
        place = nodes.section()
        self.state.nested_parse(statemachine.StringList(lines, 'properties'), 0, place)
        return place.children


def keys(kind: Any) -> list[tuple[str, str]]:
    """The keys of a TypedDict and of those it extends, with their types as they are written."""
    found = kind.__annotations__.items()
    return [(key, getattr(text, '__forward_arg__', str(text))) for key, text in found]


def setup(app: Any) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive('properties', Properties)
    return {'parallel_read_safe': True}
