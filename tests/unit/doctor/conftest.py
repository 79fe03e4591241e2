# SPDX-License-Identifier: Apache-2.0
"""A host with a multipath volume over two portals, furnished so that the doctor has no finding."""

from collections.abc import Iterator
import dataclasses
import pathlib
from typing import Any

from oslo_config import cfg
import pytest

from os_brick.core import wait
from os_brick.doctor import examine, readers, site
from os_brick.initiator.connectors import iscsi
from tests.unit.fakehost import array, surroundings
from tests.unit.fakehost import host as fake_host


@dataclasses.dataclass
class Ward:
    """The host with its volume, and its examination."""

    host: fake_host.Host
    around: surroundings.Surroundings
    target: array.Target
    connector: iscsi.ISCSIConnector
    info: dict[str, Any]

    @property
    def map(self) -> fake_host.Map:
        """The volume's map."""
        return self.host.maps[self.host.node(self.info['path'])]

    def examine(self, *, is_root: bool = True, seconds: float = 10.0) -> examine.Result:
        """What the doctor finds now."""
        self.host.settle()
        found = readers.read(wait.Deadline.after(seconds), is_root=is_root)
        overrides, wrong = site.overrides()
        found = dataclasses.replace(found, unread=(*found.unread, *wrong))
        return examine.examine(found, overrides)


def ids(result: examine.Result) -> set[str]:
    """The ids of what was found, information left out."""
    return {each.id for each in result.findings if each.level != 'I'}


@pytest.fixture
def ward(tmp_path: pathlib.Path) -> Iterator[Ward]:
    cfg.CONF.set_override('state_path', str(tmp_path / 'notes'), group='os_brick')
    with fake_host.Host(tmp_path) as host:
        around = surroundings.furnish(host)
        target = host.target('t1', portals=2)
        target.luns[1] = array.Unit('gold')
        connector = iscsi.ISCSIConnector(None, use_multipath=True)
        info = connector.connect_volume(target.properties(plural=True))
        host.settle()
        yield Ward(host, around, target, connector, info)
    cfg.CONF.clear_override('state_path', group='os_brick')
