# SPDX-License-Identifier: Apache-2.0
"""Namespaces behind controllers that another program connects."""

from collections.abc import Iterator
import pathlib
import threading

import pytest

from os_brick import exception, opts
from os_brick.core import locks, operation, process, wait
from os_brick.host import nvme as kernel
from os_brick.host import nvme_adopt, nvme_refs
from os_brick.model import fabrics
from tests.unit import seams
from tests.unit.fakehost import nvme


@pytest.fixture
def fabric(tmp_path: pathlib.Path) -> Iterator[nvme.Fabric]:
    with (
        nvme.configured(tmp_path) as root,
        process.use(seams.Programs({})),
        nvme.Fabric(root) as found,
    ):
        yield found


def wanted(subsystem: nvme.Subsystem, volume: nvme.Volume) -> nvme_adopt.Wanted:
    identity = fabrics.NamespaceIdentity(uuid=volume.uuid)
    return nvme_adopt.Wanted('gold', subsystem.nqn, identity, nvme.HOST, 'a volume')


def attach(one: nvme_adopt.Wanted, seconds: float = 3.0) -> fabrics.Path:
    lock = (locks.VOLUME, one.volume)
    with operation.begin('connect', one, lock, opts.current()) as op:
        return nvme_adopt.attach(one, wait.Deadline.after(seconds), op)


def known(subsystem: nvme.Subsystem) -> list[nvme_refs.References]:
    return [nvme_refs.read(each) for each in kernel.controllers(subsystem.nqn)]


def test_every_controller_that_shows_it_is_entered(fabric: nvme.Fabric) -> None:
    subsystem = fabric.subsystem('gold', 2)
    volume = subsystem.namespaces[1] = nvme.Volume('gold')
    for address in sorted(subsystem.portals):
        fabric.by_hand(subsystem, address)
    one = wanted(subsystem, volume)
    found = attach(one)
    assert found.head == 'nvme50n1'
    assert [set(each.attached) for each in known(subsystem)] == [{str(found.identity)}] * 2
    assert not any(each.is_made for each in known(subsystem))
    nvme_adopt.leave(one.controllers(), {str(found.identity)}, wait.Deadline.after(1))
    assert known(subsystem) == [nvme_refs.NOTHING] * 2
    assert len(fabric.controllers) == 2


def test_a_controller_that_comes_later(fabric: nvme.Fabric) -> None:
    """Also where another one is there, and not live."""
    subsystem = fabric.subsystem('gold', 2)
    volume = subsystem.namespaces[1] = nvme.Volume('gold')
    low, high = sorted(subsystem.portals)
    fabric.becomes(fabric.by_hand(subsystem, low), 'connecting')
    timer = threading.Timer(0.2, fabric.by_hand, (subsystem, high))
    timer.start()
    assert attach(wanted(subsystem, volume)).controller == 'nvme1'
    timer.join()


def test_none_becomes_live(fabric: nvme.Fabric) -> None:
    subsystem = fabric.subsystem('gold')
    volume = subsystem.namespaces[1] = nvme.Volume('gold')
    fabric.becomes(fabric.by_hand(subsystem, min(subsystem.portals)), 'connecting')
    with pytest.raises(exception.VolumeDeviceNotFound, match='is connecting'):
        attach(wanted(subsystem, volume), 0.2)


def test_a_failure_takes_back_what_was_entered(fabric: nvme.Fabric) -> None:
    """The namespace cannot be read; another attach of it stays entered."""
    subsystem = fabric.subsystem('gold')
    volume = subsystem.namespaces[1] = nvme.Volume('gold')
    fabric.by_hand(subsystem, min(subsystem.portals))
    attach(wanted(subsystem, volume))
    before = known(subsystem)
    (fabric.root / 'dev/nvme50n1').write_bytes(b'')
    with pytest.raises(exception.VolumeDeviceNotFound, match='takes no I/O'):
        attach(wanted(subsystem, volume))
    assert known(subsystem) == before
    assert len(fabric.controllers) == 1


def test_connections_by_another_name_of_this_host(fabric: nvme.Fabric) -> None:
    """The array may show other volumes there."""
    subsystem = fabric.subsystem('gold')
    volume = subsystem.namespaces[1] = nvme.Volume('gold')
    name = fabric.by_hand(subsystem, min(subsystem.portals))
    fabric.file(f'/sys/class/nvme-fabrics/ctl/{name}/hostnqn', 'nqn.2014-08.org:another')
    with pytest.raises(exception.VolumeDeviceNotFound, match='no controller'):
        attach(wanted(subsystem, volume), 0.2)


def test_the_first_error_is_that_of_an_identity(fabric: nvme.Fabric) -> None:
    """The kernel believes it to be there behind one controller, and the array has another one."""
    subsystem = fabric.subsystem('gold')
    gold = subsystem.namespaces[1] = nvme.Volume('gold')
    fabric.by_hand(subsystem, min(subsystem.portals))
    subsystem.namespaces[1] = silver = nvme.Volume('silver')
    with pytest.raises(exception.VolumeIdentityMismatch, match=silver.uuid):
        attach(wanted(subsystem, gold))
