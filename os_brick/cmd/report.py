# SPDX-License-Identifier: Apache-2.0
"""``os-brick report``: one file with what support needs to know of this host, without secrets."""

from __future__ import annotations

import argparse
import datetime
import gzip
import io
import json
import os
import tarfile
from typing import Any

from os_brick.cmd import doctor, exits
from os_brick.cmd.output import Console, Output, Table, bytes_text
from os_brick.core import atomic, files, glance, wait
from os_brick.doctor import collect, examine, masking
from os_brick.model import inventory_document

# What the doctor may take of --timeout, and what is left for packing.
_DOCTOR_SHARE, _PACKING_SHARE = 0.4, 0.1
_MOST_SECONDS_OF_DOCTOR = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where to write it."""
    parser.add_argument(
        '-o', '--output', metavar='FILE', help='default: os-brick-report-HOST-TIME.tar.gz here'
    )


def run(options: argparse.Namespace, _console: Console) -> Output:
    """Write the bundle; the file is this user's alone."""
    doctor.configure(options)
    now = datetime.datetime.now(datetime.UTC)
    host = glance.read_or('/proc/sys/kernel/hostname', 'host')
    base = f'os-brick-report-{_safe(host)}-{now:%Y%m%dT%H%M%SZ}'
    path = os.path.abspath(options.output or f'{base}.tar.gz')
    if glance.exists(path) or files.is_link(path):
        raise exits.usage(f'{path} is there already.', 'Choose another name with -o FILE.')
    deadline = wait.Deadline.after(options.timeout or 60.0).leaving(_PACKING_SHARE)
    texts, found = _texts(deadline)
    data = packed(base, texts, int(now.timestamp()))
    try:
        atomic.replace(path, data, 0o600)
    except OSError as error:
        raise exits.usage(
            f'{path} cannot be written: {error.strerror}.', 'Choose another place with -o FILE.'
        ) from None
    return _output(path, len(data), texts, found)


def _texts(deadline: wait.Deadline) -> tuple[dict[str, str], collect.Collected]:
    """Everything that goes into the bundle, without secrets, and what is missing."""
    seconds = min(deadline.remaining * _DOCTOR_SHARE, _MOST_SECONDS_OF_DOCTOR)
    result = doctor.examined(seconds)
    found = collect.collected(deadline, is_root=os.geteuid() == 0)
    documents = {
        'doctor.json': _of_doctor(result),
        'inventory.json': _of_inventory(),
        'missing.json': [{'what': each.what, 'why': each.why} for each in found.missing],
    }
    mask = masking.Mask([*found.texts.values(), *map(_json, documents.values())])
    texts = {name: mask.text(text) for name, text in found.texts.items()}
    return texts | {name: _json(mask.document(each)) for name, each in documents.items()}, found


def _of_doctor(result: examine.Result) -> dict[str, Any]:
    return {
        'checks': list(result.checks),
        'findings': [doctor.as_dict(each) for each in result.findings],
        'unread': [{'what': each.what, 'why': each.why} for each in result.unread],
    }


def _of_inventory() -> Any:
    from os_brick.host import inventory

    return inventory_document.plain(inventory.read(everything=True))


def _json(value: object) -> str:
    return json.dumps(value, indent=1, default=str)


def packed(base: str, texts: dict[str, str], at: int) -> bytes:
    """The texts as a compressed archive, each below ``base``, readable by its owner alone."""
    whole = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=whole, mode='wb', mtime=at) as compressed,
        tarfile.open(fileobj=compressed, mode='w') as archive,
    ):
        for name, text in sorted(texts.items()):
            data = text.encode('utf-8', 'replace')
            member = tarfile.TarInfo(f'{base}/{_inside(name)}')
            member.size, member.mode, member.mtime = len(data), 0o600, at
            archive.addfile(member, io.BytesIO(data))
    return whole.getvalue()


def _inside(name: str) -> str:
    """A name below the archive's directory, whatever it is called on the host."""
    parts = [part for part in name.split('/') if part not in ('', '.', '..')]
    return '/'.join(map(_safe, parts)) or 'unnamed'


def _safe(name: str) -> str:
    return ''.join(each if each.isalnum() or each in '._-:,+' else '_' for each in name) or 'host'


def _output(path: str, size: int, texts: dict[str, str], found: collect.Collected) -> Output:
    document = {
        'schema': 'os-brick/report/1',
        'file': path,
        'bytes': size,
        'files': sorted(texts),
        'missing': [{'what': each.what, 'why': each.why} for each in found.missing],
    }
    lines = [
        path,
        f'{len(texts)} files, {bytes_text(size)}. Secrets are hidden; look through it before you '
        'pass it on.',
    ]
    lines += [f'not in it   {each.what}: {each.why}' for each in found.missing[:8]]
    if len(found.missing) > 8:
        lines.append(f'            and {len(found.missing) - 8} more (missing.json)')
    return Output(
        document,
        Table(('file', 'bytes'), [(path, size)]),
        lambda console: '\n'.join(map(console.plain, lines)),
        exits.Exit.UNREAD if found.missing else exits.Exit.OK,
    )
