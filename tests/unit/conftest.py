# SPDX-License-Identifier: Apache-2.0
"""What holds for every unit test: root functions run in this process, without root."""

from collections.abc import Iterator
import itertools

import hypothesis
from oslo_config import cfg
import pytest

from os_brick import (
    opts,  # noqa: F401 registers [os_brick]
    privileged,
)
from tests import breadth

# A machine with other work takes longer now and then, which says nothing of the code. The examples
# are the same in each run of one commit, so that CI's failures can be had anywhere; those of
# ``tools/test --all`` are new ones each time.
hypothesis.settings.register_profile('os-brick', deadline=None, derandomize=not breadth.EVERYTHING)
hypothesis.settings.load_profile('os-brick')


@pytest.fixture(autouse=True, scope='session')
def _without_daemon() -> Iterator[None]:
    privileged.default.set_client_mode(False)
    yield
    privileged.default.set_client_mode(True)


@pytest.fixture(scope='session')
def _notes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    return (f'{tmp_path_factory.mktemp("notes")}/{number}' for number in itertools.count())


@pytest.fixture(autouse=True)
def state_path(_notes: Iterator[str]) -> Iterator[str]:
    """What a test notes of volumes is in a directory of its own, not in /run."""
    place = next(_notes)
    cfg.CONF.set_override('state_path', place, group='os_brick')
    yield place
    cfg.CONF.clear_override('state_path', group='os_brick')
