# SPDX-License-Identifier: Apache-2.0
"""The link of an encrypted volume goes with the volume, and no other volume's link does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
import dataclasses
import pathlib
from typing import Any, ClassVar

from oslo_config import cfg
import pytest

from os_brick.core import files, operation, teardown
from os_brick.host import links
from os_brick.initiator.connectors import block
from os_brick.request import common, result

LINK = '/dev/disk/by-id/os-brick+dev+vdx'


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Request(common.BlockRequest):
    """For a volume that is always /dev/vdx."""

    encrypted: bool = True

    @property
    def key(self) -> str:
        return 'one'

    @classmethod
    def parse(cls, raw: Any, device_info: object = None) -> Request:
        return cls(device_path=raw.get('device_path'))


class Connector(block.BlockConnector):
    """What happens on the host while the volume is detached is told by a test."""

    Request = Request
    change: ClassVar[Callable[[], object]]

    def _attach(self, props: Any, op: operation.Operation) -> result.BlockDevice:
        return result.BlockDevice('/dev/vdx')

    def _detach(
        self, props: Any, steps: teardown.Teardown, op: operation.Operation
    ) -> Iterable[str]:
        type(self).change()
        return [] if files.exists('/dev/vdx') else ['vdx']

    def _extend(self, props: Any, op: operation.Operation) -> int:
        return 0

    def get_search_path(self) -> str | None:
        return None

    def get_volume_paths(self, connection_properties: Any) -> list[str]:
        return []


@pytest.fixture
def root(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A host with the volume's device vdx and another one's vdy, and links to both."""
    found = tmp_path / 'root'
    (found / 'dev/mapper').mkdir(parents=True)
    (found / 'dev/disk/by-id').mkdir(parents=True)
    for name in ('vdx', 'vdy', 'mapper/crypt-y', 'mapper/crypt-x'):
        (found / 'dev' / name).touch()
        (found / 'sys/class/block' / name).mkdir(parents=True)
    for name in ('vdx', 'vdy'):
        (found / f'dev/disk/by-id/os-brick+dev+{name}').symlink_to(f'../../{name}')
    (tmp_path / 'locks').mkdir()
    cfg.CONF.set_override('lock_path', str(tmp_path / 'locks'), group='os_brick')
    with files.use(str(found)):
        yield found
    cfg.CONF.clear_override('lock_path', group='os_brick')


def _again(root: pathlib.Path, name: str, target: str) -> None:
    link = root / f'dev/disk/by-id/os-brick+dev+{name}'
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def _links(root: pathlib.Path) -> list[str]:
    return [path.name[-3:] for path in sorted((root / 'dev/disk/by-id').iterdir())]


@pytest.mark.parametrize('given', [LINK, None])
@pytest.mark.parametrize('target', ['../../vdx', '../../mapper/crypt-x'])
def test_it_goes_with_its_volume(root: pathlib.Path, given: str | None, target: str) -> None:
    """Also where the caller does not know it, and where its mapping ends meanwhile."""
    _again(root, 'vdx', target)

    def change() -> None:
        (root / 'dev/vdx').unlink()
        (root / 'dev/mapper/crypt-x').unlink()

    Connector.change = change
    Connector(None).disconnect_volume({'device_path': given}, None)
    assert _links(root) == ['vdy']


@pytest.mark.parametrize('is_there', [True, False])
@pytest.mark.parametrize('had_link', [True, False])
def test_one_that_another_volume_of_that_name_gets_meanwhile_stays(
    root: pathlib.Path, is_there: bool, had_link: bool
) -> None:
    def change() -> None:
        _again(root, 'vdx', '../../vdx')
        if not is_there:
            (root / 'dev/vdx').unlink()

    if not had_link:
        (root / LINK[1:]).unlink()
    Connector.change = change
    Connector(None).disconnect_volume({'device_path': LINK}, None)
    assert _links(root) == ['vdx', 'vdy']


def test_one_of_a_volume_whose_mapping_ends_meanwhile_stays(root: pathlib.Path) -> None:
    """Its own detach comes next, or another attach of its encryptor."""
    _again(root, 'vdy', '../../mapper/crypt-y')

    def change() -> None:
        (root / 'dev/vdx').unlink()
        (root / 'dev/mapper/crypt-y').unlink()

    Connector.change = change
    Connector(None).disconnect_volume({'device_path': LINK}, None)
    assert _links(root) == ['vdy']


def test_what_a_failing_attach_takes_back(
    root: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The link of its own, unless another volume has made one since."""

    def fail(_self: object) -> None:
        (root / LINK[1:]).unlink()
        links.make('/dev/vdx')
        raise KeyError('x')

    monkeypatch.setattr(result.BlockDevice, 'as_dict', fail)
    with pytest.raises(KeyError):
        Connector(None).connect_volume({})
    assert _links(root) == ['vdx', 'vdy']
