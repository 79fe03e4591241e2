# SPDX-License-Identifier: Apache-2.0
"""The testbed of the whole run, and the check after each test that the host is as it was."""

from collections.abc import Callable, Generator, Iterator
import contextlib
import os
import pathlib
import sys
from typing import Any

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from tests.functional import lab, services_support

# Needs cinder in the guest (services/make.sh), and minutes.
collect_ignore = [] if services_support.IS_HERE else ['test_services.py']
_FAILED = pytest.StashKey[bool]()
_MARKS = (
    'leaves(*parts): parts of the host that this test (not the library) may change',
    'reference: needs the reference, os-brick 7.1.1, in an environment of its own',
)


def pytest_configure(config: pytest.Config) -> None:
    for mark in _MARKS:
        config.addinivalue_line('markers', mark)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart() -> None:
    if os.geteuid() != 0:
        pytest.exit('the functional tests need root and a machine to play with: see tools/guest', 2)


@pytest.fixture(scope='session')
def testbed() -> Iterator[lab.Testbed]:
    """Addresses, iscsid and multipathd for the whole run."""
    with lab.Testbed() as testbed:
        yield testbed


@pytest.fixture(scope='session')
def library(testbed: lab.Testbed) -> None:
    """The library configured in this process, its privsep daemon started."""
    lab.bricks.configure_here()
    if lab.bricks.instead_of_ours():
        return
    import os_brick.privileged

    os_brick.privileged.default.start()


@pytest.fixture
def shelf(testbed: lab.Testbed) -> Iterator[lab.Testbed]:
    """The testbed, on which this test's volumes and targets are made (and removed afterwards)."""
    yield testbed
    testbed.reset()


@pytest.fixture(autouse=True)
def clean_host(
    shelf: lab.Testbed, library: None, request: pytest.FixtureRequest
) -> Iterator[lab.oracle.Snapshot]:
    """The host before the test; after it, the host must be the same.

    What a failed test has left is shown, not one failure more, and taken away: it is the next
    one's no more.
    """
    mark = request.node.get_closest_marker('leaves')
    ignored = (*(mark.args if mark else ()), *(['wwid'] if lab.bricks.instead_of_ours() else []))
    lab.shell.settle()
    before = lab.oracle.snapshot()
    yield before
    lab.bricks.reset_here()
    lab.net.heal_all()
    failed = request.node.stash.get(_FAILED, False)
    after = None
    try:
        after = lab.oracle.assert_same(before, seconds=5 if failed else 20, ignoring=ignored)
    except AssertionError as left:
        if not failed:
            raise
        print(left)  # noqa: T201
    finally:
        if after is None:
            lab.daemons.revive()
            lab.oracle.put_right(before)
        elif lab.oracle.difference(before, after):
            lab.oracle.sweep(before)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note that a test has failed, for ``clean_host``."""
    report = yield
    if report.failed:
        item.stash[_FAILED] = True
    return report


@pytest.fixture
def multipathd(clean_host: lab.oracle.Snapshot) -> Iterator[Callable[..., None]]:
    """``multipathd(find_multipaths='yes', …)`` for this test; afterwards as it was."""
    yield lab.daemons.configure
    lab.daemons.start_multipathd()


@pytest.fixture
def options(clean_host: lab.oracle.Snapshot) -> Callable[..., None]:
    """``options(operation_timeout=8)``: configuration of ``[os_brick]`` for this test."""
    return lab.bricks.configure_here


@pytest.fixture
def single(library: None) -> Any:
    """A connector of ours for one path."""
    return lab.bricks.ours()


@pytest.fixture
def multi(library: None) -> Any:
    """A connector of ours for multipath."""
    return lab.bricks.ours(multipath=True)


@pytest.fixture(scope='session')
def whole_fabric(testbed: lab.Testbed) -> Iterator[lab.fc.Fabric]:
    """Two initiator and two target ports of Fibre Channel for the whole run."""
    fabric = lab.fc.Fabric()
    yield fabric
    fabric.close()


@pytest.fixture
def fabric(whole_fabric: lab.fc.Fabric, clean_host: lab.oracle.Snapshot) -> Iterator[lab.fc.Fabric]:
    """The fabric, every cable plugged and no LUN mapped, before the test and after it."""
    yield whole_fabric
    whole_fabric.reset()


@pytest.fixture
def fc(library: None) -> Any:
    """A connector of ours for Fibre Channel, with multipath."""
    return lab.bricks.ours('FIBRE_CHANNEL', multipath=True)


@pytest.fixture
def fc_single(library: None) -> Any:
    """A connector of ours for one path of Fibre Channel."""
    return lab.bricks.ours('FIBRE_CHANNEL')


@pytest.fixture
def nvme(library: None) -> Any:
    """A connector of ours for NVMe over Fabrics, with multipath."""
    return lab.bricks.ours('NVMEOF', multipath=True)


@pytest.fixture
def nvme_single(library: None) -> Any:
    """One for a single path."""
    return lab.bricks.ours('NVMEOF')


@pytest.fixture(scope='session')
def whole_ceph(testbed: lab.Testbed) -> Iterator[lab.ceph.Cluster]:
    """A Ceph for the whole run, started for the first test that asks for it."""
    cluster = lab.ceph.Cluster()
    yield cluster
    cluster.close()


@pytest.fixture
def ceph(whole_ceph: lab.ceph.Cluster, clean_host: object) -> Iterator[lab.ceph.Cluster]:
    """The Ceph, with no image, before the test and after it."""
    yield whole_ceph
    whole_ceph.reset()


@pytest.fixture(scope='session')
def whole_second_ceph(testbed: lab.Testbed) -> Iterator[lab.ceph.Cluster]:
    """Another cluster, whose monitor has an address of IPv6."""
    cluster = lab.ceph.Cluster(lab.ceph.V6)
    yield cluster
    cluster.close()


@pytest.fixture
def second_ceph(
    whole_second_ceph: lab.ceph.Cluster, clean_host: object
) -> Iterator[lab.ceph.Cluster]:
    """The other cluster, with no image, before the test and after it."""
    yield whole_second_ceph
    whole_second_ceph.reset()


@pytest.fixture(scope='session')
def nursery(testbed: lab.Testbed) -> Iterator[lab.bricks.Nursery]:
    """Processes of ours, forked when asked for."""
    python = lab.bricks.REFERENCE if lab.bricks.instead_of_ours() else sys.executable
    with lab.bricks.Nursery(python) as nursery:
        yield nursery


@pytest.fixture(scope='session')
def reference_nursery(library: None) -> Iterator[lab.bricks.Nursery]:
    """Processes of the reference, with the lock directory of ours, as services of one host."""
    assert pathlib.Path(lab.bricks.REFERENCE).exists(), (
        f'the reference is not at {lab.bricks.REFERENCE}: deselect with -m "not reference"'
    )
    locks = lab.bricks.lock_directory()
    with lab.bricks.Nursery(lab.bricks.REFERENCE, lock_path=locks) as nursery:
        yield nursery


@pytest.fixture
def workers(
    nursery: lab.bricks.Nursery, clean_host: lab.oracle.Snapshot
) -> Iterator[Callable[[], lab.bricks.Worker]]:
    """Makes processes of ours, each with its own connector to be made; ended after the test."""
    with contextlib.ExitStack() as stack:

        def spawn() -> lab.bricks.Worker:
            worker = nursery.spawn()
            stack.callback(worker.close)
            return worker

        yield spawn


@pytest.hookimpl(trylast=True)
def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Show a failure when it happens (a guest's run may end by its time limit) and slow steps."""
    out = sys.__stdout__
    if out is None or not (report.failed or report.duration > 5):
        return
    out.write(f'\n{report.nodeid} {report.when} {report.outcome} in {report.duration:.1f} s\n')
    if report.failed:
        out.write(report.longreprtext[-6000:] + '\n')
    out.flush()
