# SPDX-License-Identifier: Apache-2.0
"""The array gives the LUN to another volume while an operation is under way."""

from collections.abc import Callable, Iterator
import contextlib
import pathlib
from typing import Any

from oslo_concurrency import processutils
import pytest

from os_brick import exception
from os_brick.initiator.connectors import fibre_channel, iscsi
from tests import breadth
from tests.unit.fakehost import array, fabric
from tests.unit.fakehost import host as fake_host

ERRORS = (exception.BrickException, processutils.ProcessExecutionError, OSError)
MANY = 40


class Stage:
    """A host with one volume on two paths."""

    def __init__(self, host: Any, *, fc: bool, several: bool) -> None:
        self.host = host
        if fc:
            target = host.storage(ports=2)
            host.adapter(target)
            self.props = target.properties()
            self.brick: Any = fibre_channel.FibreChannelConnector(None, use_multipath=several)
        else:
            target = host.target(portals=2)
            self.props = target.properties(plural=True)
            self.brick = iscsi.ISCSIConnector(None, use_multipath=several)
        self.luns = target.luns
        self.gold, self.silver = array.Unit('gold'), array.Unit('silver', 128)
        self.luns[1] = self.gold

    def remap(self) -> None:
        self.luns[1] = self.silver

    def rescan(self) -> None:
        """A remap, of which the kernel has been told by someone."""
        self.remap()
        for disk in list(self.host.disks.values()):
            self.host._rescan(disk)

    def replace(self) -> None:
        """A remap, and other disks have the names of the old ones."""
        self.remap()
        for disk in list(self.host.disks.values()):
            self.host.remove_disk(disk)
            self.host.find_lun(disk.session, 1)
            for new in list(self.host.disks.values()):
                if new.session is disk.session:
                    self.host._show_disk(new)

    def happen_at(self, number: int, what: str) -> list[str]:
        """Have it happen right before an act; returns the list of the acts that it struck."""
        struck: list[str] = []
        start = len(self.host.acts)

        def before(act: str) -> None:
            if not struck and len(self.host.acts) - start > number:
                struck.append(act)
                getattr(self, what)()

        self.host.before_act = before
        return struck


@contextlib.contextmanager
def stage(place: pathlib.Path, *, fc: bool, several: bool) -> Iterator[Stage]:
    place.mkdir()
    kind = fabric.FabricHost if fc else fake_host.Host
    with kind(place) as host:
        yield Stage(host, fc=fc, several=several)


def each_act(place: pathlib.Path, course: Callable[[Stage, int], str], **how: bool) -> None:
    """Run a course with the change at each of its acts, until it has no further ones."""
    for number in breadth.acts(sum(how.values()), 2, MANY):
        with stage(place / str(number), **how) as found:
            if not course(found, number):
                assert number > 1
                return
    raise AssertionError('it does not end')


ALL = pytest.mark.parametrize('fc', [False, True])
EITHER = pytest.mark.parametrize('several', [False, True])


@ALL
@EITHER
@pytest.mark.parametrize('what', ['remap', 'replace'])
def test_attach_returns_what_the_array_has_there(
    tmp_path: pathlib.Path, what: str, several: bool, fc: bool
) -> None:
    """Up to the last question; nothing can be known of what happens after that."""

    def course(at: Stage, number: int) -> str:
        struck = at.happen_at(number, what)
        with contextlib.suppress(*ERRORS):
            info = at.brick.connect_volume(at.props)
            name = at.host.node(info['path'])
            over = at.host.maps.get(name)
            disks = over.disks if over else [at.host.disks[name]]
            if struck and not struck[0].startswith(('identity_pages', 'pages_or_errors')):
                assert info['scsi_wwn'] == at.silver.wwid, struck
            assert {disk.unit.wwid for disk in disks} == {info['scsi_wwn']}, struck
        return ''.join(struck)

    each_act(tmp_path, course, fc=fc, several=several)


@ALL
@EITHER
@pytest.mark.parametrize('what', ['rescan', 'replace'])
def test_extend_never_returns_the_size_of_another_volume(
    tmp_path: pathlib.Path, what: str, several: bool, fc: bool
) -> None:
    def course(at: Stage, number: int) -> str:
        at.brick.connect_volume(at.props)
        at.gold.megabytes = 96
        struck = at.happen_at(number, what)
        with contextlib.suppress(*ERRORS):
            assert at.brick.extend_volume(at.props) == 96 << 20, struck
        if 'multipathd resize' not in ''.join(struck):  # multipathd itself looks last.
            assert all(each.sectors <= 96 * 2048 for each in at.host.maps.values()), struck
        return ''.join(struck)

    each_act(tmp_path, course, fc=fc, several=several)


@ALL
@EITHER
@pytest.mark.parametrize('what', ['remap', 'rescan', 'replace'])
def test_detach_writes_the_old_data_to_no_other_volume(
    tmp_path: pathlib.Path, what: str, several: bool, fc: bool
) -> None:
    """Between the INQUIRY and the flush, too."""
    informed = several is fc

    def course(at: Stage, number: int) -> str:
        info = at.brick.connect_volume(at.props)
        struck = at.happen_at(number, what)
        with contextlib.suppress(*ERRORS):
            at.brick.disconnect_volume(at.props, info if informed else None)
        for wwid, reached in at.host.flushed_from:
            assert {wwid} >= {unit.wwid for unit in reached}, struck
        return ''.join(struck)

    each_act(tmp_path, course, fc=fc, several=several)


@ALL
@EITHER
def test_a_remap_while_the_cache_is_written_back_is_told(
    tmp_path: pathlib.Path, several: bool, fc: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No host can prevent that; the detach fails, and the next one flushes nothing any more."""
    with stage(tmp_path / 'host', fc=fc, several=several) as at:
        info = at.brick.connect_volume(at.props)
        flushed = at.host.flushed

        def flush(name: str) -> None:
            flushed(name)
            at.remap()

        monkeypatch.setattr(at.host, 'flushed', flush)
        with pytest.raises(exception.VolumeIdentityMismatch, match='while it was flushed'):
            at.brick.disconnect_volume(at.props, info)
        assert at.host.disks
        at.brick.disconnect_volume(at.props, info)
        assert not at.host.disks
        assert not at.host.maps
        assert len(at.host.flushes) == 1


@ALL
@EITHER
def test_a_remap_right_before_the_flush(tmp_path: pathlib.Path, several: bool, fc: bool) -> None:
    with stage(tmp_path / 'host', fc=fc, several=several) as at:
        info = at.brick.connect_volume(at.props)

        def strike(what: str) -> None:
            if what.startswith('_flush'):
                at.remap()

        at.host.before_act = strike
        at.brick.disconnect_volume(at.props, info)
        assert at.host.flushes == []
        assert not at.host.disks
        assert not at.host.maps
