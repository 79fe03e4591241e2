# SPDX-License-Identifier: Apache-2.0
"""Huawei's distributed storage, with a program that gives the documented answers."""

from collections.abc import Iterator
import contextlib
import logging
import pathlib
from typing import Any

from oslo_config import cfg
import pytest

from os_brick import exception
from os_brick.core import files, process
from os_brick.initiator.connectors import huawei
from tests.unit import seams
from tests.unit.fakehost import tree as fake_tree

PLACE = '/usr/local/bin/sds/sds_cli'
VOLUME = 'volume-b2a2e1c4'
PROPS = {'volume_id': VOLUME}
AWAY = (0, 'ret_code=50151400\nret_desc=not attached\n', '')
DONE = (0, 'ret_code=0\nret_desc=success\n', '')
HERE = (0, 'ret_code=0\nret_desc=success\ndev_addr=/dev/vdx\nother=1\n', '')


def said(code: int) -> tuple[int, str, str]:
    return 0, f'ret_code={code}\nret_desc=some words\n', ''


@pytest.fixture
def tree(tmp_path: pathlib.Path) -> Iterator[fake_tree.Tree]:
    found = fake_tree.Tree(tmp_path / 'root')
    found.file(PLACE)
    found.file('/dev/vdx')
    found.directory('/sys/class/block/vdx')
    (tmp_path / 'locks').mkdir()
    cfg.CONF.set_override('lock_path', str(tmp_path / 'locks'), group='os_brick')
    with files.use(str(tmp_path / 'root')):
        yield found
    cfg.CONF.clear_override('lock_path', group='os_brick')


@contextlib.contextmanager
def answers(**verbs: Any) -> Iterator[seams.Programs]:
    """The program, with its answers to each verb in their order."""
    table = {f'{PLACE} -c {verb} -v {VOLUME}': found for verb, found in verbs.items()}
    programs = seams.Programs(table)
    with process.use(programs):
        yield programs


def verbs(programs: seams.Programs) -> list[str]:
    return [line.split()[2] for line in programs.started]


@pytest.mark.parametrize('code', [0, 50151401, 50151405])
def test_attach(tree: fake_tree.Tree, code: int) -> None:
    """New, attached already, or attached by another node of the same name."""
    with answers(attach=[said(code)], querydev=[AWAY, HERE]) as programs:
        info = huawei.HuaweiStorHyperConnector(None).connect_volume(PROPS)
    assert info == {'type': 'block', 'path': '/dev/vdx'}
    assert verbs(programs) == ['querydev', 'attach', 'querydev']
    assert all(0 < float(each['timeout']) <= 120 for each in programs.keywords)


@pytest.mark.parametrize(
    'answer',
    [
        said(50151400),
        (0, '', ''),
        (1, '', 'boom'),
        # It has attached the volume, and then hangs, or ends as a failure.
        (1, 'ret_code=0\nret_desc=success\n', ''),
        process.TimeLimit(),
    ],
    ids=['refused', 'silent', 'exit 1', 'done and exit 1', 'hangs'],
)
def test_attach_that_fails(tree: fake_tree.Tree, answer: Any) -> None:
    """Whatever the agent has done of it is taken back, and there is time left for that."""
    program = answers(querydev=[AWAY], attach=[answer], detach=[DONE])
    with program as programs, pytest.raises(exception.BrickException, match=VOLUME):
        huawei.HuaweiStorHyperConnector(None).connect_volume(PROPS)
    assert verbs(programs) == ['querydev', 'attach', 'detach']
    limits = [float(each['timeout']) for each in programs.keywords]
    assert limits[1] < limits[2] - 10


@pytest.mark.parametrize(
    'answer',
    [
        said(50151400),
        DONE,
        (0, '', ''),
        (0, 'ret_code=0\ndev_addr=/etc/passwd\n', ''),
        (0, 'ret_code=0\ndev_addr=/dev/vd x\n', ''),
        process.TimeLimit(),
    ],
)
def test_an_attach_without_a_device_is_taken_back(tree: fake_tree.Tree, answer: Any) -> None:
    program = answers(attach=[DONE], querydev=[AWAY, answer], detach=[DONE])
    with program as programs, pytest.raises(exception.BrickException, match='querydev'):
        huawei.HuaweiStorHyperConnector(None).connect_volume(PROPS)
    assert verbs(programs)[-1] == 'detach'


def test_a_device_that_never_comes_is_taken_back(tree: fake_tree.Tree) -> None:
    tree.remove('/sys/class/block/vdx')
    program = answers(attach=[DONE], querydev=[AWAY, HERE], detach=[DONE])
    with program as programs, pytest.raises(exception.VolumeDeviceNotFound, match='/dev/vdx'):
        huawei.HuaweiStorHyperConnector(None).connect_volume(PROPS)
    assert verbs(programs)[-1] == 'detach'


@pytest.mark.parametrize('before', [AWAY, HERE])
def test_what_was_attached_before_is_not_taken_back(tree: fake_tree.Tree, before: Any) -> None:
    """The agent says so before the attach, or as its answer to it."""
    code = 50151401 if before is AWAY else 0
    program = answers(attach=[said(code)], querydev=[before, DONE])
    with program as programs, pytest.raises(exception.BrickException):
        huawei.HuaweiStorHyperConnector(None).connect_volume(PROPS)
    assert verbs(programs) == ['querydev', 'attach', 'querydev']


def test_an_agent_that_cannot_tell_is_not_asked_to_attach(tree: fake_tree.Tree) -> None:
    """What it has attached for another would be taken back as this attach's own."""
    with answers(querydev=[said(50151209)] * 2) as programs:
        for method, volume in (('connect_volume', PROPS), ('is_volume_connected', VOLUME)):
            with pytest.raises(exception.BrickException, match='50151209'):
                getattr(huawei.HuaweiStorHyperConnector(None), method)(volume)
    assert verbs(programs) == ['querydev'] * 2


def test_an_agent_that_answers_nonsense_is_not_asked_to_attach(tree: fake_tree.Tree) -> None:
    with answers(querydev=[(0, 'ret_code=\u0660', '')] * 2) as programs:
        for method, volume in (('connect_volume', PROPS), ('is_volume_connected', VOLUME)):
            with pytest.raises(exception.BrickException, match='ret_code'):
                getattr(huawei.HuaweiStorHyperConnector(None), method)(volume)
    assert verbs(programs) == ['querydev'] * 2


def test_a_flood_of_words_is_cut(tree: fake_tree.Tree) -> None:
    with answers(querydev=[(1, 'x y' * 100000, '')]), pytest.raises(Exception, match=VOLUME) as e:
        huawei.HuaweiStorHyperConnector(None).connect_volume(PROPS)
    assert len(str(e.value)) < 2000


@pytest.mark.parametrize('code', [0, 50151209, 50155007])
@pytest.mark.parametrize('force', [False, True])
def test_detach(
    tree: fake_tree.Tree, code: int, force: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with answers(detach=[said(code)]):
        huawei.HuaweiStorHyperConnector(None).disconnect_volume(PROPS, None, force=force)
    assert (f'may have volume {VOLUME} attached still' in caplog.text) == (code == 50151209)


@pytest.mark.parametrize('answer', [said(1), (0, '', ''), (0, 'ret_code=x', ''), (2, '', '')])
def test_detach_that_fails(tree: fake_tree.Tree, answer: Any) -> None:
    with answers(detach=[answer]), pytest.raises(exception.BrickException, match=VOLUME):
        huawei.HuaweiStorHyperConnector(None).disconnect_volume(
            PROPS, None, force=True, ignore_errors=True
        )


def test_questions(tree: fake_tree.Tree) -> None:
    brick = huawei.HuaweiStorHyperConnector(None)
    with answers(querydev=[HERE, HERE, said(50151400), said(50151400)]):
        assert brick.get_volume_paths(PROPS) == ['/dev/vdx']
        assert brick.is_volume_connected(VOLUME)
        assert not brick.is_volume_connected(VOLUME)
        with pytest.raises(exception.BrickException):
            brick.get_volume_paths(PROPS)
    assert brick.get_search_path() is None
    assert brick.get_all_available_volumes() == []
    assert brick.get_connector_properties(None) == {}
    with pytest.raises(NotImplementedError):
        brick.extend_volume(PROPS)


@pytest.mark.parametrize('volume', [None, '', '-v', '--all', 'a b', '$(reboot)', 'a\nb', 7])
def test_a_name_that_is_none_never_reaches_the_program(tree: fake_tree.Tree, volume: Any) -> None:
    brick = huawei.HuaweiStorHyperConnector(None)
    with answers() as programs:
        for method in (brick.connect_volume, brick.get_volume_paths):
            with pytest.raises(exception.InvalidParameterValue, match='volume_id'):
                method({'volume_id': volume})
        with pytest.raises(exception.InvalidParameterValue, match='volume_id'):
            brick.disconnect_volume({'volume_id': volume}, None, force=True)
        with pytest.raises(exception.InvalidParameterValue, match='volume_id'):
            brick.is_volume_connected(volume)
    assert programs.started == []


def test_no_program(tree: fake_tree.Tree, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    tree.remove(PLACE)
    brick = huawei.HuaweiStorHyperConnector(None)
    assert not brick.iscliexist
    assert PLACE in caplog.text
    for method in (brick.connect_volume, brick.get_volume_paths):
        with pytest.raises(exception.BrickException, match='sds_cli'):
            method(PROPS)


def test_the_program_may_be_elsewhere(
    tree: fake_tree.Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('HUAWEISDSHYPERVISORCLI_PATH', '/opt/sds')
    tree.directory('/opt/sds')
    assert not huawei.HuaweiStorHyperConnector(None).iscliexist
    monkeypatch.setenv('HUAWEISDSHYPERVISORCLI_PATH', PLACE)
    brick = huawei.HuaweiStorHyperConnector(None)
    assert brick.iscliexist
    assert brick.cli_path == PLACE
