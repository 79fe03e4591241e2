# SPDX-License-Identifier: Apache-2.0
"""Which tests of a consumer touch os-brick.

The files that mention it, those named after a module that uses it (``test_iser.py`` for
``iser.py``), and those beside one of these that import it: most derive from its classes.
"""

from __future__ import annotations

from collections.abc import Iterator
import pathlib
import re

_NAME = 'os_brick'
_MENTION = 'brick'


def modules(package: pathlib.Path) -> list[str]:
    """The test modules of a package, by their dotted names."""
    users = {
        ('unit' if path.parent == package else path.parent.name, f'test_{path.stem}')
        for path in _sources(package)
        if _NAME in _text(path)
    }
    tests = [path for path in package.rglob('test_*.py') if 'unit' in path.parts]
    found = {
        path for path in tests if _MENTION in _text(path) or (path.parent.name, path.stem) in users
    }
    found |= _that_import(tests, {(path.parent, path.stem) for path in found})
    return sorted(_dotted(package, path) for path in found)


def _that_import(
    tests: list[pathlib.Path], stems: set[tuple[pathlib.Path, str]]
) -> set[pathlib.Path]:
    """The test modules that import one of others in their own directory."""
    return {
        path
        for path in tests
        if any(parent == path.parent and _imports(path, stem) for parent, stem in stems)
    }


def _sources(package: pathlib.Path) -> Iterator[pathlib.Path]:
    for path in package.rglob('*.py'):
        if 'tests' not in path.relative_to(package).parts:
            yield path


def _imports(path: pathlib.Path, name: str) -> bool:
    return re.search(rf'^(?:from|import)\b.*\b{name}\b', _text(path), re.MULTILINE) is not None


def _text(path: pathlib.Path) -> str:
    return path.read_text(errors='replace')


def _dotted(package: pathlib.Path, path: pathlib.Path) -> str:
    return '.'.join(path.relative_to(package.parent).with_suffix('').parts)
