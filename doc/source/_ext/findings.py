# SPDX-License-Identifier: Apache-2.0
"""The directive ``findings``: what ``os-brick doctor`` looks for, of its table."""

from __future__ import annotations

from typing import Any, ClassVar

from docutils import nodes, statemachine
from sphinx.util.docutils import SphinxDirective

from os_brick.doctor import page


class Findings(SphinxDirective):
    """``.. findings::``: every finding of the catalogue."""

    has_content = False
    option_spec: ClassVar[dict[str, Any]] = {}

    def run(self) -> list[nodes.Node]:
        """Return the table and what there is to be said of each."""
        place = nodes.section()
        lines = statemachine.StringList(list(page.text()), 'findings')
        self.state.nested_parse(lines, 0, place)
        return place.children


def setup(app: Any) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive('findings', Findings)
    return {'parallel_read_safe': True}
