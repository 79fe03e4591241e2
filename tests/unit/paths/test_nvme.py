# SPDX-License-Identifier: Apache-2.0
"""Paths to a namespace: what an attach that ends early leaves on the host, which is nothing."""

import itertools
import pathlib

import pytest

from tests.unit.fakehost import nvme
from tests.unit.paths import test_ownership as ownership


@pytest.mark.parametrize('multipath', [True, False])
@pytest.mark.parametrize('how', ['late', 'interrupted', 'interrupted late'])
def test_an_attach_that_ends_at_any_act_leaves_nothing(
    tmp_path: pathlib.Path, how: str, multipath: bool
) -> None:
    """At once, and not only after the next attach and detach of the volume: the kernel may have
    made a controller of which the attach was never told."""
    for number in itertools.count():
        with ownership.Nvme.host_in(tmp_path / str(number)) as host:
            stage = ownership.Nvme(host, multipath=multipath)
            before = host.snapshot()
            host.fail(number, how)
            try:
                info = stage.brick.connect_volume(stage.props)
            except ownership.ERRORS:
                info = None
            what, host._fault = host.struck, None
            if not what:
                assert number > 2
                return
            if info is not None:
                stage.brick.disconnect_volume(stage.props, info)
            assert host.snapshot() == before, what


@pytest.mark.parametrize(('ports', 'most'), [(1, 4), (2, 6)])
@pytest.mark.parametrize('others', [0, 3])
def test_acts_as_root(tmp_path: pathlib.Path, ports: int, most: int, others: int) -> None:
    """A controller, two looks at the namespace and a read; a claim, a look, a flush and an end."""
    with ownership.Nvme.host_in(tmp_path) as host:
        stage = ownership.Nvme(host, multipath=ports > 1)
        for number in range(others):
            subsystem = host.subsystem(f'other {number}')
            subsystem.namespaces[1] = nvme.Volume(f'other {number}')
            stage.brick.connect_volume(subsystem.properties(1))
        before = host.acts
        info = stage.brick.connect_volume(stage.props)
        attached = host.acts
        stage.brick.disconnect_volume(stage.props, info)
        assert 0 < attached - before <= most
        assert 0 < host.acts - attached <= most
