# SPDX-License-Identifier: Apache-2.0
"""Which namespace is meant, and by which name and ID to connect."""

import dataclasses

import pytest

from os_brick.model import fabrics
from os_brick.plans import nvmeof as plans

NAME = 'nqn.2014-08.org.nvmexpress:uuid:12345678-90ab-cdef-1234-567890abcdef'
ID = '12345678-90ab-cdef-1234-567890abcdef'
OTHER = 'nqn.2026-11.org.lab:other'
A, B = 'a' * 32, 'b' * 32


@dataclasses.dataclass(frozen=True)
class Path:
    identity: fabrics.NamespaceIdentity


def test_the_number_decides_between_namespaces_of_one_name() -> None:
    one, two = (Path(fabrics.NamespaceIdentity(nguid=A, nsid=number)) for number in (1, 2))
    third = Path(fabrics.NamespaceIdentity(nguid=B, nsid=3))
    behind = [one, two, third]
    assert plans.matching(fabrics.NamespaceIdentity(nguid=A, nsid=2), behind) == [two]
    assert plans.matching(fabrics.NamespaceIdentity(nguid=A), behind) == [one, two]
    assert plans.matching(fabrics.NamespaceIdentity(nguid=B, nsid=1), behind) == [third]
    assert plans.matching(fabrics.NamespaceIdentity(), behind) == behind


@pytest.mark.parametrize(
    ('name', 'wanted', 'ids', 'own', 'host'),
    [
        (NAME, None, {}, ID, (NAME, ID)),
        (None, None, {}, ID, None),
        # The ID in the file need not be the one in the name, as long as it is no one else's.
        (NAME, None, {}, 'x', (NAME, 'x')),
        (NAME, None, {OTHER: 'x'}, 'x', (NAME, ID)),
        # A name that is in use keeps its ID: the kernel takes no other.
        (NAME, None, {NAME: 'y'}, ID, (NAME, 'y')),
        (NAME, OTHER, {}, ID, (OTHER, fabrics.host_id_of(OTHER))),
        (NAME, OTHER, {OTHER: 'z'}, ID, (OTHER, 'z')),
    ],
)
def test_host(
    name: str | None,
    wanted: str | None,
    ids: dict[str, str],
    own: str | None,
    host: tuple[str, str] | None,
) -> None:
    assert plans.host(name, wanted, ids, own) == host


@pytest.mark.parametrize('is_made', [True, False])
def test_what_keeps_a_controller(is_made: bool) -> None:
    """Behind one that an attach has made, what was never attached counts if it is in use; behind
    another one it always counts, unless a detach has released it."""
    attached, released, never = (
        Path(fabrics.NamespaceIdentity(nsid=number)) for number in (1, 2, 3)
    )
    kept, idle = plans.foreign([attached, released, never], {'NSID 1'}, {'NSID 2'}, is_made=is_made)
    assert kept == ([attached] if is_made else [attached, never])
    assert idle == ([released, never] if is_made else [released])
