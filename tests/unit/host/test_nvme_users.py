# SPDX-License-Identifier: Apache-2.0
"""Who uses a controller is remembered for as long as it is true."""

from collections.abc import Iterator
import os
import pathlib

from oslo_config import cfg
import pytest

from os_brick.core import files
from os_brick.host import nvme, nvme_users
from os_brick.model import fabrics
from tests.unit.fakehost import tree as fake_tree

PORTAL = fabrics.Portal.parse('10.0.0.1', 4420, 'tcp')
CONTROLLER = nvme.Controller('nvme0', 'nqn.2026-11.org.example:a', PORTAL, '7')
LOCK = 'a lock'


class Host:
    """A host with one controller and this process on it."""

    def __init__(self, root: pathlib.Path) -> None:
        self.tree = fake_tree.Tree(root)
        self.tree.directory('/sys/class/nvme-fabrics/ctl/nvme0')
        self.starts(100)

    def starts(self, ticks: int) -> None:
        """This process's PID is that of a process which was started then, with a nasty name."""
        fields = ['S', *(str(n) for n in range(4, 22)), str(ticks), '0', '0']
        self.tree.value(f'/proc/{os.getpid()}/stat', f'{os.getpid()} (a) b (c) {" ".join(fields)}')

    def ends(self) -> None:
        self.tree.remove(f'/proc/{os.getpid()}')


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[Host]:
    (tmp_path / 'locks').mkdir()
    cfg.CONF.set_override('lock_path', str(tmp_path / 'locks'), group='os_brick')
    found = Host(tmp_path / 'root')
    with files.use(str(tmp_path / 'root')):
        yield found
    cfg.CONF.clear_override('lock_path', group='os_brick')


def notes() -> nvme_users.Notes:
    return nvme_users.read(LOCK, CONTROLLER)


def test_life(host: Host, tmp_path: pathlib.Path) -> None:
    assert notes() == nvme_users.Notes()
    who = nvme_users.token()
    nvme_users.made(LOCK, CONTROLLER, who)
    assert list(notes().coming) == [who]
    nvme_users.has_come(LOCK, CONTROLLER, who, 'gold')
    assert notes() == nvme_users.Notes(attached=frozenset({'gold'}), is_made=True)
    assert nvme_users.goes(LOCK, CONTROLLER, {'gold'}) == notes()
    assert notes() == nvme_users.Notes(released=frozenset({'gold'}), is_made=True)
    nvme_users.forget(LOCK, CONTROLLER)
    assert list((tmp_path / 'locks').iterdir()) == []


@pytest.mark.parametrize('fate', ['killed', 'its PID was given again'])
def test_an_attach_that_was_killed_keeps_nothing(host: Host, fate: str) -> None:
    nvme_users.comes(LOCK, CONTROLLER, nvme_users.token())
    if fate == 'killed':
        host.ends()
    else:
        host.starts(200)
    assert not notes().coming


def test_a_later_controller_of_the_same_name_and_id(host: Host) -> None:
    nvme_users.made(LOCK, CONTROLLER, nvme_users.token())
    host.tree.remove('/sys/class/nvme-fabrics/ctl/nvme0')
    host.tree.directory('/sys/class/nvme-fabrics/ctl/nvme0')
    assert notes() == nvme_users.Notes()


@pytest.mark.parametrize('text', ['{', '[]', '{"controller": 1}', 'null'])
def test_half_a_file_says_nothing(host: Host, tmp_path: pathlib.Path, text: str) -> None:
    nvme_users.comes(LOCK, CONTROLLER, nvme_users.token())
    (file,) = (tmp_path / 'locks').iterdir()
    file.write_text(text)
    assert notes() == nvme_users.Notes()
