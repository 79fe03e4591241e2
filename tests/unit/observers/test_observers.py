# SPDX-License-Identifier: Apache-2.0
"""What libraries of tracing and of metrics are told; doubles stand for them."""

from collections.abc import Iterator
import importlib
import pathlib
import sys
import types
from typing import Any

from oslo_config import cfg
import pytest

import os_brick
from os_brick import exception, observers
from os_brick.core import observe, operation
from os_brick.model.settings import Settings

ROOT = pathlib.Path(observers.__file__).parent


class Calls:
    """Takes any call of any name; what it was called with is kept."""

    def __init__(self, calls: list[tuple[str, Any]], name: str = '') -> None:
        self._calls, self._name = calls, name

    def __getattr__(self, name: str) -> 'Calls':
        return Calls(self._calls, f'{self._name}.{name}'.lstrip('.'))

    def __call__(self, *args: Any, **kwargs: Any) -> 'Calls':
        self._calls.append((self._name, args or kwargs))
        return self


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> Iterator[list[Any]]:
    """The three libraries as doubles that are installed and imported."""
    found: list[tuple[str, Any]] = []
    for package, name in (
        ('osprofiler', 'profiler'),
        ('opentelemetry', 'trace'),
        ('', 'prometheus_client'),
    ):
        double: Any = types.ModuleType(name)
        double.__getattr__ = Calls(found).__getattr__
        if package:
            monkeypatch.setitem(sys.modules, package, types.ModuleType(package))
            monkeypatch.setattr(sys.modules[package], name, double, raising=False)
        monkeypatch.setitem(sys.modules, f'{package}.{name}'.lstrip('.'), double)
    cfg.CONF.set_override('lock_path', str(tmp_path), group='os_brick')
    yield found
    cfg.CONF.clear_override('lock_path', group='os_brick')
    for name in ('profiler', 'otel', 'prometheus'):
        sys.modules.pop(f'os_brick.observers.{name}', None)


def _attach(*, fails: bool = False) -> None:
    with operation.begin('connect', None, ('volume', 'iscsi secret-volume 1'), Settings()):
        with observe.step('log in', '10.99.0.1:3260'):
            pass
        if fails:
            raise exception.VolumeDeviceNotFound(device='sdx')


def _told(name: str, calls: list[Any]) -> list[Any]:
    stop = importlib.import_module(f'os_brick.observers.{name}').listen()
    calls.clear()
    try:
        _attach()
        with pytest.raises(exception.VolumeDeviceNotFound):
            _attach(fails=True)
    finally:
        stop()
    return calls


def test_osprofiler(calls: list[Any]) -> None:
    """Starts and stops are in pairs: it keeps a stack."""
    told = [(name, args) for name, args in _told('profiler', calls) if name != 'get']
    names = [name.rpartition('.')[2] for name, _ in told]
    assert names == ['start', 'start', 'stop', 'start', 'stop', 'stop'] * 2
    assert told[0][1][0] == 'os_brick.attach'
    assert told[-1][1][0]['error'] == 'VolumeDeviceNotFound'


def test_opentelemetry(calls: list[Any]) -> None:
    told = _told('otel', calls)
    names = [name.rpartition('.')[2] for name, _ in told]
    assert names.count('start_span') == names.count('end') == 6
    assert ('error.type', 'VolumeDeviceNotFound') in [args for name, args in told]


def test_prometheus_client(calls: list[Any]) -> None:
    told = _told('prometheus', calls)
    labels = [args for name, args in told if name.endswith('labels')]
    assert ('attach', '', 'done') in labels
    assert ('attach', '', 'VolumeDeviceNotFound') in labels
    assert 'secret-volume' not in str(labels)
    assert '10.99.0.1' not in str(labels)


def test_setup_enables_what_the_service_has_imported(
    calls: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    stops = []
    monkeypatch.setattr(observers, 'enabled', set())
    real = observe.observe
    monkeypatch.setattr(observe, 'observe', lambda each: stops.append(real(each)))
    os_brick.setup(cfg.CONF)
    os_brick.setup(cfg.CONF)
    assert len(stops) == 2
    _attach()
    assert any('start_span' in name for name, _ in calls)
    for stop in stops:
        stop()


def test_nothing_is_needed() -> None:
    """Without the libraries there is nothing to import, and no one listens."""
    assert not {'osprofiler', 'opentelemetry', 'prometheus_client'} & set(sys.modules)
    observers.enable_found()


@pytest.mark.parametrize('path', sorted(ROOT.glob('*.py')), ids=lambda path: path.stem)
def test_an_adapter_is_short(path: pathlib.Path) -> None:
    assert len(path.read_text().splitlines()) <= 60
