# SPDX-License-Identifier: Apache-2.0
"""Paths opened one after the other, by a driver that needs no host."""

from collections.abc import Iterator, Sequence
import pathlib
from typing import Any

from oslo_config import cfg
import pytest

from os_brick import exception
from os_brick.core import locks, operation, undo, wait
from os_brick.model import settings
from os_brick.paths import engine
from os_brick.paths.attempt import Attempt

KEY = 'fake 1'
SETTINGS = settings.Settings(operation_seconds=60.0)
HOST: set[str] = set()


@undo.verb
def leave(name: str) -> None:
    HOST.discard(name)


class Driver:
    """Opens each path but those that it has errors for; what it has opened is in ``HOST``."""

    def __init__(self, **errors: Exception) -> None:
        self.errors = errors

    def reachable(self, path: str, deadline: wait.Deadline, *, ask: bool) -> bool:
        return True

    def open(self, path: str, attempt: Attempt) -> str:
        attempt.begin()
        attempt.made.add(leave, path)
        HOST.add(path)
        if path in self.errors:
            raise self.errors[path]
        return path

    def summary(self, texts: list[str], errors: list[Exception]) -> Exception:
        return exception.VolumeDeviceNotFound('; '.join(texts))


class Assembly:
    wwid = ''

    def add(self, opened: str, deadline: wait.Deadline) -> None: ...

    def is_present(self, *, without: str | None = None) -> bool:
        return True

    def before(self, opened: Sequence[str], seconds: float) -> list[undo.Step]:
        return []

    def after(self, opened: Sequence[str]) -> list[undo.Step]:
        return []


@pytest.fixture(autouse=True)
def _host(tmp_path: pathlib.Path) -> Iterator[None]:
    HOST.clear()
    cfg.CONF.set_override('lock_path', str(tmp_path), group='os_brick')
    yield
    cfg.CONF.clear_override('lock_path', group='os_brick')


def begin() -> Any:
    return operation.begin('connect', {}, (locks.VOLUME, KEY), SETTINGS)


def gone(path: str) -> exception.VolumeDeviceNotFound:
    return exception.VolumeDeviceNotFound(f'{path} has no disk')


def first(driver: Driver, *paths: str, bad: str = '') -> str:
    def use(opened: str, deadline: wait.Deadline, alone: undo.Undo) -> str:
        alone.add(leave, f'device of {opened}')
        HOST.add(f'device of {opened}')
        if opened == bad:
            raise gone(opened)
        return f'/dev/{opened}'

    with begin() as op:
        return engine.open_first(driver, Assembly(), paths, op, use)


def test_the_first_path_that_can_be_used_is_used_alone() -> None:
    assert first(Driver(), 'a', 'b') == '/dev/a'
    assert {'a', 'device of a'} == HOST


def test_one_that_cannot_be_opened_is_taken_back_before_the_next() -> None:
    assert first(Driver(a=gone('a')), 'a', 'b') == '/dev/b'
    assert {'b', 'device of b'} == HOST


def test_so_is_one_whose_device_cannot_be_used() -> None:
    assert first(Driver(), 'a', 'b', bad='a') == '/dev/b'
    assert {'b', 'device of b'} == HOST


def test_without_a_path_all_of_them_are_named_and_nothing_is_left() -> None:
    with pytest.raises(exception.VolumeDeviceNotFound, match=r'a has no disk.*b has no disk'):
        first(Driver(a=gone('a'), b=gone('b')), 'a', 'b')
    assert set() == HOST
