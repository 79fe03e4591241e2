# SPDX-License-Identifier: Apache-2.0
"""Brings the files of a checkout into the guest: only what has changed since the last time."""

import io
import json
import os
import pathlib
import subprocess
import tarfile
import uuid

from guestlib import channel, paths, resident

Mark = tuple[int, int, int]  # mtime in ns, size, mode
_SKIPPED = {'.git', '.tox', '.venv', '__pycache__', '.mypy_cache', '.ruff_cache', '.pytest_cache'}
SYNC_SECONDS = 120.0


def synchronise(line: channel.Line, guest: resident.Guest) -> None:
    """Make /opt/checkout in the guest equal to this checkout.

    :raises: progress.Failure
    """
    root = paths.CHECKOUT
    state = guest.directory / 'synced.json'
    before = _synced(state, root)
    now = _marks(root)
    changed = sorted(name for name, mark in now.items() if (before or {}).get(name) != mark)
    removed = sorted(set(before or {}) - set(now))
    if before is not None and not changed and not removed:
        return
    state.unlink(missing_ok=True)  # until it is done, what the guest has is unknown
    tarball = guest.share / f'sync-{uuid.uuid4().hex}.tar'
    _pack(root, changed, tarball)
    try:
        line.send(
            'sync',
            tar=f'/mnt/share/{tarball.name}' if changed else '',
            changed=changed,
            removed=removed,
            fresh=before is None,
        )
        line.answer('copying the checkout', SYNC_SECONDS)
    finally:
        tarball.unlink(missing_ok=True)
    state.write_text(json.dumps({'root': str(root), 'files': now}))


def _synced(state: pathlib.Path, root: pathlib.Path) -> dict[str, Mark] | None:
    """What the guest has of this very checkout; None if that is not known."""
    try:
        known = json.loads(state.read_text())
    except (OSError, ValueError):
        return None
    if known['root'] != str(root):
        return None
    return {name: (mark[0], mark[1], mark[2]) for name, mark in known['files'].items()}


def _marks(root: pathlib.Path) -> dict[str, Mark]:
    """Every file that belongs to the checkout, with what tells that it changed."""
    marks: dict[str, Mark] = {}
    for name in _names(root):
        try:
            status = os.lstat(root / name)
        except FileNotFoundError:  # deleted, but still in git's index
            continue
        marks[name] = (status.st_mtime_ns, status.st_size, status.st_mode)
    return marks


def _names(root: pathlib.Path) -> list[str]:
    """Tracked and new files, not ignored ones; without git, all but well-known litter."""
    command = ['git', '-C', str(root), '-c', f'safe.directory={root}', 'ls-files', '-z']
    try:
        listed = subprocess.run(
            [*command, '--cached', '--others', '--exclude-standard'],
            capture_output=True,
            check=False,
        )
        if listed.returncode == 0:
            names = {os.fsdecode(name) for name in listed.stdout.split(b'\0') if name}
            return sorted(name for name in names if '__pycache__' not in name)
    except FileNotFoundError:
        pass
    return _walked(root)


def _walked(root: pathlib.Path) -> list[str]:
    names: set[str] = set()
    for parent, directories, files in os.walk(root):
        directories[:] = [name for name in directories if name not in _SKIPPED]
        names |= {os.path.relpath(os.path.join(parent, name), root) for name in files}
    return sorted(names)


def _pack(root: pathlib.Path, names: list[str], tarball: pathlib.Path) -> None:
    with tarfile.open(tarball, 'w', format=tarfile.PAX_FORMAT) as archive:
        for name in names:
            try:
                entry = archive.gettarinfo(str(root / name), arcname=name)
                data = (root / name).read_bytes() if entry.isreg() else b''
            except FileNotFoundError:  # another process edits this checkout just now
                continue
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
