# SPDX-License-Identifier: Apache-2.0
"""A host that lacks what a volume needs: the error says what, and the host stays as it was."""

from collections.abc import Callable
import pathlib
import shutil
from typing import Any

from oslo_config import cfg
import pytest

from os_brick import exception
from os_brick.core import process
from os_brick.host import machine
from os_brick.initiator.connectors import iscsi, nvmeof
from tests.unit.fakehost import array, nvme
from tests.unit.fakehost import host as fake_host


class NoPrograms:
    """A host on which no program is installed."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def run(self, argv: tuple[str, ...], **_keywords: Any) -> process.Result:
        self.asked.append(argv[0])
        raise FileNotFoundError(2, 'No such file or directory', argv[0])

    def isolated(self, call: Callable[[], Any], timeout: float) -> Any:
        return call()


@pytest.mark.parametrize('multipath', [False, True])
@pytest.mark.parametrize('plural', [False, True])
def test_iscsi_without_open_iscsi(host: fake_host.Host, multipath: bool, plural: bool) -> None:
    """It was "iscsiadm does not end …; does another iscsiadm hang?", and an empty /etc/iscsi."""
    target = host.target('t1', portals=2)
    target.luns[1] = array.Unit('gold')
    shutil.rmtree(host.tree.at('/etc/iscsi'), ignore_errors=True)
    before = host.snapshot()
    with process.use(NoPrograms()), pytest.raises(exception.HostNotReady) as caught:
        iscsi.ISCSIConnector(None, use_multipath=multipath).connect_volume(
            target.properties(plural=plural)
        )
    assert caught.value.missing == 'iscsiadm'
    assert 'Install open-iscsi' in str(caught.value.remedy)
    assert host.snapshot() == before
    assert not host.tree.at('/etc/iscsi').exists()


@pytest.mark.parametrize('knows_itself', [False, True], ids=['no UUID', 'UUID'])
def test_nvme_without_module_and_nvme_cli(tmp_path: pathlib.Path, knows_itself: bool) -> None:
    """It was a bare ProcessExecutionError, and a host ID that no name went with."""
    cfg.CONF.set_override('lock_path', str(tmp_path / 'locks'), group='os_brick')
    machine.system_uuid.cache_clear()
    try:
        with nvme.Fabric(tmp_path / 'root') as fabric:
            volume = nvme.Volume('gold', power=12)
            subsystem = fabric.subsystem('life')
            subsystem.namespaces[3] = volume
            properties = subsystem.properties(3)
            (fabric.root / 'dev/nvme-fabrics').unlink()
            shutil.rmtree(fabric.root / 'etc/nvme')
            if not knows_itself:
                (fabric.root / 'sys/class/dmi/id/product_uuid').unlink()
            with process.use(NoPrograms()), pytest.raises(exception.HostNotReady) as caught:
                nvmeof.NVMeOFConnector(None).connect_volume(properties)
            assert 'nvme-fabrics' in str(caught.value.missing)
            assert not (fabric.root / 'etc/nvme').exists()
    finally:
        cfg.CONF.clear_override('lock_path', group='os_brick')
        machine.system_uuid.cache_clear()
