# SPDX-License-Identifier: Apache-2.0
"""The course of a detach that every protocol has: links of encrypted volumes."""

from collections.abc import Collection, Iterator
import dataclasses
import os
import pathlib
from typing import Any

import pytest

from os_brick.core import operation, teardown
from os_brick.host import links
from os_brick.initiator.connectors import block
from os_brick.request import common, result
from tests.unit.fakehost import host as fake_host


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Request(common.BlockRequest):
    """That of an encrypted volume whose caller does not know the link."""

    encrypted: bool = True

    @property
    def key(self) -> str:
        return 'gold'

    @classmethod
    def parse(cls, raw: object, device_info: object = None) -> 'Request':
        return cls()


class Brick(block.BlockConnector):
    """Its volume is nvme0n1; while that is detached nvme1n1 goes with another one's detach."""

    Request = Request
    host: fake_host.Host

    def _attach(self, props: Any, op: operation.Operation) -> result.BlockDevice:
        raise NotImplementedError

    def get_search_path(self) -> str:
        raise NotImplementedError

    def get_volume_paths(self, connection_properties: Any) -> list[str]:
        raise NotImplementedError

    def _extend(self, props: Any, op: operation.Operation) -> int:
        raise NotImplementedError

    def _detach(
        self, props: Any, steps: teardown.Teardown, op: operation.Operation
    ) -> Collection[str]:
        for name in ('nvme0n1', 'nvme1n1'):
            self.host.tree.remove(f'/dev/{name}')
            self.host.tree.remove(f'/sys/class/block/{name}')
        return ['nvme0n1']


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[fake_host.Host]:
    """A host with two devices, and a link of ours to each."""
    with fake_host.Host(tmp_path) as found:
        for name in ('nvme0n1', 'nvme1n1'):
            found.tree.file(f'/dev/{name}')
            found.tree.directory(f'/sys/class/block/{name}')
            links.make(f'/dev/{name}')
        yield found


def test_a_detach_takes_its_own_link_and_no_other(host: fake_host.Host) -> None:
    """Another volume's link leads nowhere for a moment, too: its own detach takes that."""
    brick = Brick(None)
    brick.host = host
    own, others = (host.tree.at(links.name_for(f'/dev/nvme{n}n1')) for n in (0, 1))
    assert os.path.islink(own)
    brick.disconnect_volume({}, None)
    assert not os.path.islink(own)
    assert os.path.islink(others)
