# SPDX-License-Identifier: Apache-2.0
"""Configuration of Sphinx: ``tox -e docs``."""

import pathlib
import sys
from typing import Any

from docutils import nodes

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / '_ext'))

project = 'os-brick'
author = 'The os-brick contributors'
project_copyright = 'The os-brick contributors, Apache License 2.0'

extensions = [
    'sphinx.ext.autodoc',
    'sphinx.ext.viewcode',
    'reno.sphinxext',
    'oslo_config.sphinxext',
    'findings',
    'properties',
    'benchmark',
]

master_doc = 'index'
exclude_patterns: list[str] = []
html_theme = 'alabaster'
pygments_style = 'sphinx'

# Signatures carry the types, so that a docstring need not repeat them.
autodoc_typehints = 'signature'
autodoc_member_order = 'bysource'
# Names as callers write them, and signatures that fit a column.
add_module_names = False
python_maximum_signature_line_length = 80
html_theme_options = {'page_width': '1160px'}
# Optional bindings that a machine that builds the pages does not have.
autodoc_mock_imports = ['rados', 'rbd', 'oslo_vmware']


def _without_addresses(app: Any, tree: Any, _name: str) -> None:
    """Have links be plain text in manual pages, which would put an empty address after each."""
    if app.builder.name == 'man':
        for link in list(tree.findall(nodes.reference)):
            link.replace_self(nodes.inline('', link.astext()))


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect('doctree-resolved', _without_addresses)


# ``sphinx-build -b man``: the pages of the command line.
man_pages = [
    ('user/command-line', 'os-brick', 'volumes of this host', [author], 1),
    ('user/doctor', 'os-brick-doctor', 'what is wrong with a host', [author], 1),
    ('user/change', 'os-brick-attach', 'attach, detach and extend by hand', [author], 1),
]
