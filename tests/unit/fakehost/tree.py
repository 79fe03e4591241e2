# SPDX-License-Identifier: Apache-2.0
"""A directory as /, with the shapes that Linux 6.12 gives to sysfs (recorded/guest.json)."""

import contextlib
import os
import pathlib
import tempfile


class Tree:
    """Files, directories and links below one directory, named from ``/``."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root

    def at(self, path: str) -> pathlib.Path:
        return self.root / path.lstrip('/')

    def directory(self, path: str) -> None:
        self.at(path).mkdir(parents=True, exist_ok=True)

    def file(self, path: str, content: str | bytes = '') -> None:
        """A whole file at once: readers in other threads see the old one or the new one."""
        place = self.at(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        data = content.encode() if isinstance(content, str) else content
        temporary = place.with_name(f'{place.name}.new')
        temporary.write_bytes(data)
        temporary.rename(place)

    def value(self, path: str, content: object) -> None:
        """A sysfs attribute: one line."""
        self.file(path, f'{content}\n')

    def link(self, path: str, target: str) -> None:
        """A relative link with the target's name at its end, as all of sysfs' are."""
        place, to = self.at(path), self.at(target)
        place.parent.mkdir(parents=True, exist_ok=True)
        self.remove(path)
        place.symlink_to(os.path.join(os.path.relpath(to.parent, place.parent), to.name))

    def remove(self, path: str) -> None:
        place = self.at(path)
        if place.is_file() and not place.is_symlink():
            place.unlink(missing_ok=True)
        elif os.path.lexists(place):
            # Moved and kept: a later one must not have its number (sysfs gives none again).
            grave = tempfile.mkdtemp(prefix='gone-', dir=self.root.parent)
            place.rename(f'{grave}/{place.name}')

    def prune(self, path: str) -> None:
        """Remove a directory if nothing is in it."""
        try:
            self.at(path).rmdir()
        except OSError:
            return

    def take(self, path: str) -> str:
        """What was written to a file since the last time; empty if nothing was."""
        try:
            text = self.at(path).read_text()
            if text:
                os.truncate(self.at(path), 0)
        except OSError:
            return ''
        return text

    def snapshot(self) -> dict[str, str]:
        """Everything there is: a directory is ``/``, a link what it says, a file its content.

        What goes while it is looked at, because another thread removes it, is not there.
        """
        found = {}
        for place, directories, files in os.walk(self.root):
            for name in directories + files:
                path = pathlib.Path(place, name)
                shown = '/' + str(path.relative_to(self.root))
                with contextlib.suppress(FileNotFoundError):
                    found[shown] = _shown(path)
        return found


def _shown(path: pathlib.Path) -> str:
    if path.is_symlink():
        return f'-> {path.readlink()}'
    return '/' if path.is_dir() else path.read_bytes().decode('latin-1')
