# SPDX-License-Identifier: Apache-2.0
"""Paths to a namespace: what an attach that ends early leaves on the host, which is nothing."""

import itertools
import pathlib

import pytest

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
