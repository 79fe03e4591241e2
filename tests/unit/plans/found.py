# SPDX-License-Identifier: Apache-2.0
"""Disks and maps as a survey finds them, in short."""

from os_brick.model import vpd
from os_brick.plans import choice as plans

ANY = 'LUN 1 of target t'
GOLD, SILVER = '36001405' + 'a' * 25, '36001405' + 'b' * 25


def identity(wwid: str) -> vpd.UnitIdentity:
    return vpd.UnitIdentity(wwid, '', frozenset({wwid} - {''}))


def disk(name: str, wwid: str = GOLD, *maps: str, named: bool = True) -> plans.FoundDisk:
    number = 100 + ord(name[-1])
    return plans.FoundDisk(name, number, f'2:0:0:{number}', identity(wwid), named, maps)


def found(
    *disks: plans.FoundDisk, maps: tuple[plans.FoundMap, ...] = (), kept: str = ''
) -> plans.Found:
    return plans.Found(disks, maps, kept=(kept,) if kept else ())


def a_map(name: str, wwid: str, *disks: str) -> plans.FoundMap:
    return plans.FoundMap(name, wwid, disks)
