# SPDX-License-Identifier: Apache-2.0
"""Which of the notes of one name is a volume's: two clusters may have an image of one name each.

Both are locked by that name, and an image that was made anew has it, too. So a name has several
places for notes, and the device decides which note is whose: the kernel gives its number to no
other one.
"""

from __future__ import annotations

import dataclasses

from os_brick.host import block
from os_brick.model import note

# Of volumes of one name that are attached at a time.
MOST = 8
_PLACE = ' #'


def name_of(key: str) -> str:
    """The name that a key of a note is of, whichever of its places that is."""
    name, separator, number = key.rpartition(_PLACE)
    return name if separator and number.isdecimal() else key


def is_here(found: note.Note | None) -> bool:
    """Whether the device of a note is still the one that was noted."""
    return found is not None and found.number > 0 and block.inode(found.device) == found.number


@dataclasses.dataclass(frozen=True, slots=True)
class Places:
    """The places for notes of one name.

    :ivar keys: what a note is known by in each; one alone where a name is that of one volume.
    :ivar kept: what was in them when the operation began.
    :ivar unread: those whose note cannot be read now, which may be that of a volume that is here.
    """

    keys: tuple[str, ...]
    kept: dict[str, note.Note] = dataclasses.field(default_factory=dict)
    unread: set[str] = dataclasses.field(default_factory=set)

    @classmethod
    def of(cls, key: str, *, has_namesakes: bool) -> Places:
        """The places of a name, the first of which a volume has that is the only one of it."""
        more = range(2, MOST + 1) if has_namesakes else ()
        return cls((key, *(f'{key}{_PLACE}{number}' for number in more)))

    def is_anothers(self, found: note.Note | None) -> bool:
        """Whether a note that is in one of them stays, whatever becomes of the other volumes."""
        return len(self.keys) > 1 and is_here(found)

    def begun(self, volume_id: str) -> str:
        """The key for a volume of which the device is not known yet.

        :param volume_id: empty if the caller has not passed it.
        :raises ValueError: if each place has the note of a device that is here.
        """
        if len(self.keys) == 1:
            return self.keys[0]
        ids = {'', volume_id}
        same = [key for key, each in self.kept.items() if not volume_id or each.volume_id in ids]
        return same[0] if len(same) == 1 else self._free()[0]

    def attached(self, found: note.Note) -> str:
        """The key for a note of an attach.

        :param found: it, with the key that the attach has begun with.
        :raises ValueError: as of :meth:`begun`.
        """
        for key, each in self.kept.items():
            if found.number and (each.device, each.number) == (found.device, found.number):
                return key
        free = self._free()
        return found.key if found.key in free else free[0]

    def _free(self) -> list[str]:
        found = [
            key
            for key in self.keys
            if key not in self.unread and not self.is_anothers(self.kept.get(key))
        ]
        if not found:
            raise ValueError(f'{MOST} other volumes of its name are attached')
        return found
