# SPDX-License-Identifier: Apache-2.0
"""StorPool's configuration files on this host."""

from __future__ import annotations

from os_brick import exception
from os_brick.core import files
from os_brick.model import storpool as model

FILE = '/etc/storpool.conf'
DIRECTORY = '/etc/storpool.conf.d'
_LARGEST = 1 << 20


def read(section: str) -> model.Section:
    """What is set for all hosts, and over it what is set in a host's section.

    Files in the directory count more than the one file, and later names more than earlier ones.

    :raises HostNotReady: if there is no configuration.
    :raises BrickException: if a file cannot be read, or has a line that is not one.
    """
    for_all: model.Section = {}
    for_one: model.Section = {}
    for path in (FILE, *_further_files()):
        found = _sections(path)
        for_all |= found['']
        for_one |= found.get(section, {})
    return for_all | for_one


def _further_files() -> list[str]:
    found = [name for name in files.names(DIRECTORY) if name.endswith('.conf')]
    return [f'{DIRECTORY}/{name}' for name in found if not name.startswith('.')]


def _sections(path: str) -> dict[str, model.Section]:
    try:
        return model.sections(files.read_regular(path, _LARGEST).decode())
    except FileNotFoundError:
        raise exception.HostNotReady(
            missing=f'the configuration of StorPool, {path},',
            remedy='Install and configure the StorPool client.',
        ) from None
    except UnicodeDecodeError:
        why = 'it is not text in UTF-8'
    except OSError as error:
        why = error.strerror or type(error).__name__
    except ValueError as error:
        why = str(error)
    # Not chained: what is read there may be the token.
    raise exception.BrickException(f'The configuration of StorPool, {path}, cannot be used: {why}')
