# SPDX-License-Identifier: Apache-2.0
"""The kernel's table of mounts: lines with anything in them, and what a path leads to."""

import os
import random

from hypothesis import given
from hypothesis import strategies as st
import pytest

from os_brick.model import mounts

# Linux 6.12, recorded in the guest.
RECORDED = b"""\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
23 22 0:21 / /proc rw,nosuid - proc proc rw
40 22 0:45 / /mnt/a\\040b\\011c\\012d\\134e rw,relatime shared:9 master:1 - nfs4 \
[fd00:98::1]:/srv/a rw,vers=4.2,addr=fd00:98::1
41 22 0:46 /sub /mnt/x ro,relatime - nfs 10.98.0.1:/srv/a rw,vers=3
42 22 0:47 / /mnt/empty rw - tmpfs  rw
"""


def test_recorded() -> None:
    table = mounts.parse(RECORDED)
    assert [mount.number for mount in table] == [22, 23, 40, 41, 42]
    odd = table[2]
    assert odd.place == '/mnt/a b\tc\nd\\e'
    assert (odd.kind, odd.source) == ('nfs4', '[fd00:98::1]:/srv/a')
    assert odd.super_options == ('rw', 'vers=4.2', 'addr=fd00:98::1')
    assert not odd.is_read_only
    assert (table[3].root, table[3].is_read_only) == ('/sub', True)
    assert (table[4].kind, table[4].source) == ('tmpfs', '')


@pytest.mark.parametrize(
    'line',
    [
        *(b'', b'\n', b'22', b'a b c', b'22 1 254:0 / / rw - ext4', b'22 1 254:0 / / rw ext4 x rw'),
        *(b'x 1 254:0 / / rw - ext4 x rw', b'22 y 254:0 / / rw - ext4 x rw', b'\xff' * 100),
    ],
)
def test_other_lines_are_left_out(line: bytes) -> None:
    assert mounts.parse(RECORDED + line) == mounts.parse(RECORDED)


def _escaped(text: bytes) -> bytes:
    return b''.join(b'\\%03o' % byte if byte in b' \t\n\\#' else bytes([byte]) for byte in text)


NAMES = st.binary(min_size=1, max_size=20).filter(lambda name: b'\0' not in name)


@given(NAMES, NAMES, NAMES, st.lists(st.sampled_from([b'shared:1', b'master:2', b'unbindable'])))
def test_a_line_reads_back(place: bytes, root: bytes, source: bytes, tags: list[bytes]) -> None:
    """Whatever Python takes for white space or the end of a line may be part of a name."""
    fields = [b'40', b'22', b'0:45', b'/' + _escaped(root), b'/' + _escaped(place), b'rw', *tags]
    line = b' '.join([*fields, b'-', b'nfs4', _escaped(source), b'rw'])
    before, found = mounts.parse(b'22 1 254:0 / / rw - ext4 /dev/vda rw\n' + line + b'\n')
    assert before.place == '/'
    assert os.fsencode(found.place) == b'/' + place
    assert os.fsencode(found.root) == b'/' + root
    assert os.fsencode(found.source) == source


@given(st.binary(max_size=300))
def test_any_bytes(table: bytes) -> None:
    for mount in mounts.parse(table):
        mounts.at(mounts.parse(table), mount.place)


def _mount(number: int, parent: int, place: str) -> mounts.Mount:
    return mounts.Mount(number, parent, '0:1', '/', place, ('rw',), 'nfs4', 'h:/x', ('rw',))


class Kernel:
    """What mount(2) does to a tree of mounts: each is on a place of the one that is reached."""

    def __init__(self) -> None:
        self.table = [_mount(1, 0, '/')]

    def reached(self, path: str) -> int:
        """The mount that ``path`` lies in, the one at it included."""
        children: dict[int, list[mounts.Mount]] = {}
        for mount in self.table[1:]:
            children.setdefault(mount.parent, []).append(mount)

        def descend(number: int) -> int:
            inside = [
                each
                for each in children.get(number, [])
                if each.place == '/' or path == each.place or path.startswith(f'{each.place}/')
            ]
            # The one nearest to the root hides the others: the walk crosses it first.
            nearest = min(inside, key=lambda each: len(each.place.rstrip('/')), default=None)
            return descend(nearest.number) if nearest else number

        return descend(1)

    def mount(self, path: str) -> int:
        number = len(self.table) + 1
        self.table.append(_mount(number, self.reached(path), path))
        return number


PATHS = st.sampled_from(['/', '/a', '/a/b', '/a/b/c', '/ab', '/a/c', '/b'])


@given(st.lists(PATHS, max_size=8), PATHS, st.randoms(use_true_random=False))
def test_what_is_hidden_is_not_reached(places: list[str], asked: str, order: random.Random) -> None:
    """Stacked mounts, mounts below others, mounts that later ones hide; in any order of lines."""
    kernel = Kernel()
    for place in places:
        kernel.mount(place)
    expected = kernel.reached(asked)
    at_it = {each.number for each in kernel.table if each.place == asked}
    shuffled = list(kernel.table)
    order.shuffle(shuffled)
    found = mounts.at(shuffled, asked)
    assert (found.number if found else None) == (expected if expected in at_it else None)


def test_a_name_that_begins_alike_is_another_place() -> None:
    table = [_mount(1, 0, '/'), _mount(2, 1, '/mnt/ab')]
    assert mounts.at(table, '/mnt/a') is None
    assert mounts.at(table, '/mnt/ab/c') is None
    assert mounts.at(table, '/mnt') is None


def test_the_root_of_the_kernel_is_on_itself() -> None:
    """rootfs before an initrd has moved on; a chroot has no root in its table."""
    table = [_mount(1, 1, '/'), _mount(2, 1, '/'), _mount(3, 2, '/a')]
    found = mounts.at(table, '/a')
    assert found is not None
    assert found.number == 3
    chroot = [_mount(7, 5, '/a'), _mount(8, 7, '/a/b')]
    assert mounts.at(chroot, '/') is None
    inner = mounts.at(chroot, '/a/b')
    assert inner is not None
    assert inner.number == 8
    assert mounts.at([], '/a') is None
