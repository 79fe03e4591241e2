# SPDX-License-Identifier: Apache-2.0
"""What a rule returns: an object that is not as it has to be, and the words that say so."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
import dataclasses
from typing import TypeAlias

from os_brick.doctor import facts

FAIL, WARN, INFO = 'F', 'W', 'I'


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """One object that a rule has something to say about.

    :ivar object: its name on this host, or what stands for it.
    :ivar words: what the texts of the finding are filled with.
    :ivar level: instead of the finding's own; empty for that.
    :ivar variant: which of the finding's repairs is meant; empty for the first.
    """

    object: str
    words: Mapping[str, str] = dataclasses.field(default_factory=dict)
    level: str = ''
    variant: str = ''


@dataclasses.dataclass(frozen=True, slots=True)
class Values:
    """The numbers that a rule goes by: the catalogue's, or a site's, for all or for one product.

    :ivar vendors: by ``vendor:product``, where either may be ``*``.
    """

    common: Mapping[str, float] = dataclasses.field(default_factory=dict)
    vendors: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)

    def number(self, name: str, product: str = '') -> float:
        """A number by its name, for a product as ``vendor:product``."""
        vendor, _, model = product.partition(':')
        for key in (product, f'{vendor}:*', f'*:{model}'):
            if name in self.vendors.get(key, {}):
                return self.vendors[key][name]
        return self.common[name]


Rule: TypeAlias = Callable[[facts.Facts, Values], Iterator[Case]]
