# SPDX-License-Identifier: Apache-2.0
"""What open-iscsi's records were before they were given settings, kept beside them.

For root alone (it has the operator's secrets), so that it survives a restart of this daemon and of
the host, as the record does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
import dataclasses

from os_brick.core import files, store
from os_brick.model import iscsi_record

NODE, DISCOVERY = 'node', 'discovery'
_DIRECTORY = 'os-brick'
# Where it is kept before open-iscsi has made a directory of its own.
_DEFAULT_HOME = '/etc/iscsi'


@dataclasses.dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of the records of a portal of a target, or of its discoveries.

    :ivar before: by path, what the record was; ``None`` for a discovery's that was made here.
    :ivar given: by path, the marks of the settings that it was given.
    :ivar making: the iface of a record that was about to be made when something went wrong.
    """

    before: dict[str, str | None] = dataclasses.field(default_factory=dict)
    given: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)
    making: str = ''

    def base(
        self, path: str, record: str, iface: str, mark: Mapping[str, str]
    ) -> tuple[str, str | None]:
        """A record without our settings, and what it is to be once we let go of it."""
        if path in self.before and iscsi_record.has_settings(record, mark):
            before = self.before[path]
            base = iscsi_record.reverted(record, before or '', self.given[path])
            return base, None if before is None else base
        return record, None if self.making == iface else record

    def with_bases(
        self,
        bases: Mapping[str, tuple[str, str | None]],
        settings: Mapping[str, str],
        making: str = '',
    ) -> Kept:
        """Add records, as :meth:`base` returns them, and the settings that they are to be given."""
        return Kept(
            before={**self.before, **{path: before for path, (_, before) in bases.items()}},
            given={**self.given, **dict.fromkeys(bases, iscsi_record.marks(settings))},
            making=making,
        )


NOTHING = Kept()


def _stores(homes: Sequence[str]) -> list[store.Store]:
    """Where it is kept: beside the records, the place of new ones first."""
    places = [*reversed(homes)] or [_DEFAULT_HOME]
    return [store.Store(files.real(f'{home}/{_DIRECTORY}'), 0o600, 0o700) for home in places]


def load(homes: Sequence[str], kind: str, key: str) -> Kept:
    """What is kept of a portal in a database with these homes."""
    found = (each.load(kind, key) for each in _stores(homes))
    state = next((state for state in found if state is not None), None)
    try:
        return Kept(**state) if state else NOTHING
    except TypeError:
        return NOTHING  # Of another release.


def save(homes: Sequence[str], kind: str, key: str, kept: Kept) -> None:
    """Keep something, over a crash of the host too; or nothing any more.

    :raises BrickException: naming the directory, if it cannot be written.
    """
    stores = _stores(homes)
    if kept != NOTHING:
        stores[0].save(kind, key, dataclasses.asdict(kept), durable=True)
        return
    for each in stores:
        each.save(kind, key, None, durable=True)
    for home in homes:
        files.remove_if_empty(f'{home}/{_DIRECTORY}')
