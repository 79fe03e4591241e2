# SPDX-License-Identifier: Apache-2.0
"""Huawei's distributed storage, with a program that really runs, and remembers what is attached."""

from collections.abc import Iterator
import pathlib
import time

from oslo_config import cfg
import pytest

from os_brick import exception
from os_brick.core import files
from os_brick.initiator.connectors import huawei
from tests.unit.fakehost import tree as fake_tree

PROPS = {'volume_id': 'volume-1'}
# sds_cli -c VERB -v VOLUME; the file `trouble` says which verb goes wrong, and how.
PROGRAM = """\
#!/bin/sh
here=$(dirname "$0")
attached="$here/attached-$4"
echo "$2" >> "$here/calls"
say() { echo "ret_code=$1"; echo "ret_desc=words"; test -z "$2" || echo "dev_addr=$2"; }
case "$2" in
    attach) if test -e "$attached"; then code=50151401; else code=0; touch "$attached"; fi ;;
    detach) if test -e "$attached"; then code=0; rm "$attached"; else code=50155007; fi ;;
    querydev) if test -e "$attached"; then code=0; device=/dev/vdx; else code=50151400; fi ;;
    *) exit 2 ;;
esac
read -r verb what < "$here/trouble"
if test "$verb" = "$2" && { test "$2" != querydev || test -e "$attached"; }; then
    case "$what" in
        hangs) sleep 60 ;;
        fails) say "$code" "$device"; exit 1 ;;
        silent) exit 0 ;;
        murmurs) echo "ret_code=soon"; exit 0 ;;
        elsewhere) device=/dev/none ;;
    esac
fi
say "$code" "$device"
"""


class Agent:
    """The storage's agent: which volumes it has attached here."""

    def __init__(self, place: pathlib.Path) -> None:
        self._place = place
        self.program = place / 'sds_cli'
        self.program.write_text(PROGRAM)
        self.program.chmod(0o755)
        self.trouble('none none')

    def trouble(self, words: str) -> None:
        (self._place / 'trouble').write_text(f'{words}\n')

    @property
    def attached(self) -> list[str]:
        return sorted(each.name for each in self._place.glob('attached-*'))

    @property
    def calls(self) -> list[str]:
        return (self._place / 'calls').read_text().split()


@pytest.fixture
def agent(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Agent]:
    place = tmp_path / 'agent'
    place.mkdir()
    (tmp_path / 'locks').mkdir()
    found = Agent(place)
    monkeypatch.setenv('HUAWEISDSHYPERVISORCLI_PATH', str(found.program))
    tree = fake_tree.Tree(tmp_path / 'root')
    tree.file(str(found.program))
    tree.file('/dev/vdx')
    tree.directory('/sys/class/block/vdx')
    cfg.CONF.set_override('lock_path', str(tmp_path / 'locks'), group='os_brick')
    cfg.CONF.set_override('operation_timeout', 4, group='os_brick')
    with files.use(str(tmp_path / 'root')):
        yield found
    for name in ('lock_path', 'operation_timeout'):
        cfg.CONF.clear_override(name, group='os_brick')


def test_attach_and_detach(agent: Agent) -> None:
    brick = huawei.HuaweiStorHyperConnector(None)
    info = brick.connect_volume(PROPS)
    assert info == {'type': 'block', 'path': '/dev/vdx'}
    assert agent.attached == ['attached-volume-1']
    assert brick.connect_volume(PROPS) == info
    assert brick.is_volume_connected('volume-1')
    assert brick.get_volume_paths(PROPS) == ['/dev/vdx']
    brick.disconnect_volume(PROPS, info)
    assert agent.attached == []
    assert not brick.is_volume_connected('volume-1')
    brick.disconnect_volume(PROPS, info)


TROUBLES = pytest.mark.parametrize(
    'trouble',
    [
        'attach hangs',
        'attach fails',
        'attach silent',
        'attach murmurs',
        'querydev hangs',
        'querydev fails',
        'querydev silent',
        'querydev murmurs',
        'querydev elsewhere',
    ],
)


@TROUBLES
def test_an_attach_that_ends_badly_leaves_nothing(agent: Agent, trouble: str) -> None:
    """Each of them after the volume was attached; another volume of the host stays."""
    brick = huawei.HuaweiStorHyperConnector(None)
    brick.connect_volume({'volume_id': 'volume-2'})
    agent.trouble(trouble)
    started = time.monotonic()
    with pytest.raises(exception.BrickException, match='volume-1'):
        brick.connect_volume(PROPS)
    assert time.monotonic() - started < 6
    assert agent.attached == ['attached-volume-2']
    assert agent.calls[-1] == 'detach'


@TROUBLES
def test_one_of_what_was_attached_before_takes_nothing_away(agent: Agent, trouble: str) -> None:
    brick = huawei.HuaweiStorHyperConnector(None)
    brick.connect_volume(PROPS)
    agent.trouble(trouble)
    with pytest.raises(exception.BrickException, match='volume-1'):
        brick.connect_volume(PROPS)
    assert agent.attached == ['attached-volume-1']
    assert 'detach' not in agent.calls
