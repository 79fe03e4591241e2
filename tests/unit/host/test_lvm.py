# SPDX-License-Identifier: Apache-2.0
"""LVM's tools by themselves: what is tried again, waited for, left alone, and when it ends."""

from collections.abc import Iterator
import subprocess
from typing import Any

from oslo_concurrency import processutils
import pytest

from os_brick import exception
from os_brick.core import clock, wait
from os_brick.host import lvm
from os_brick.model import lvm as model
from tests.unit import seams
from tests.unit.local_dev import simulated

MEBI = simulated.MEBI


@pytest.fixture(params=['2.03.16', '2.03.31'])
def host(request: pytest.FixtureRequest) -> Iterator[simulated.Lvm2]:
    """The group gold with the volume a, 8 MiB."""
    found = simulated.Lvm2(request.param)
    found.group('gold').volumes['a'] = simulated.Volume(8 * MEBI)
    with clock.use(seams.Clock()):
        yield found


def tools(host: Any) -> lvm.Tools:
    """Of a new operation."""
    return lvm.Tools(host, 'sudo', (), wait.Deadline.after(120))


def volumes(host: simulated.Lvm2) -> dict[str, simulated.Volume]:
    return host.groups['gold'].volumes


def snapshot(host: simulated.Lvm2) -> None:
    volumes(host)['s'] = simulated.Volume(MEBI, 's', origin='a')


def size(text: str) -> model.Size:
    return model.parse_size(text, 'size', may_be_relative=True)


def fails(error: Exception) -> Any:
    def act() -> None:
        raise error

    return act


# A removal never removes another volume.


def test_a_snapshot_that_comes_in_between(host: simulated.Lvm2) -> None:
    """LVM looks again under its lock: that is what the selection is for."""
    host.before('lvremove *', lambda: snapshot(host))
    with pytest.raises(exception.VolumeInUse, match='snapshots'):
        tools(host).remove('gold', 'a')
    assert set(volumes(host)) == {'a', 's'}


def test_the_part_of_another_volume_is_not_removed(host: simulated.Lvm2) -> None:
    """LVM would end the cache of that volume."""
    volumes(host)['cp_cpool'] = simulated.Volume(MEBI, hidden=True)
    with pytest.raises(exception.VolumeDeviceNotFound, match='gold/cp_cpool'):
        tools(host).remove('gold', 'cp_cpool')
    assert set(volumes(host)) == {'a', 'cp_cpool'}


def test_a_volume_that_takes_the_name_before_the_second_try(host: simulated.Lvm2) -> None:
    """What was asked to go is gone then, and the new one stays."""
    host.held.add('a')

    def act() -> None:
        host.held.clear()
        volumes(host)['a'] = simulated.Volume(MEBI)

    host.before('udevadm *', act)
    tools(host).remove('gold', 'a')
    assert volumes(host)['a'].size == MEBI


def test_tools_that_report_nothing_but_what_is_asked(host: simulated.Lvm2) -> None:
    """``log { silent = 1 }``: LVM does not say that it has removed the volume."""
    host.silent = True
    snapshot(host)
    with pytest.raises(exception.VolumeInUse):
        tools(host).remove('gold', 'a')
    tools(host).remove('gold', 's')
    tools(host).remove('gold', 'a')
    assert not volumes(host)
    with pytest.raises(exception.VolumeDeviceNotFound):
        tools(host).remove('gold', 'a')


def test_a_removal_that_crashes_after_it_is_done(host: simulated.Lvm2) -> None:
    def act() -> None:
        volumes(host).clear()
        host.crash()

    host.before('lvremove *', act)
    tools(host).remove('gold', 'a')


# What is in use.


def test_what_is_in_use_is_tried_again_when_udev_is_done(host: simulated.Lvm2) -> None:
    host.held.add('a')
    host.before('udevadm *', host.held.clear)
    tools(host).remove('gold', 'a')
    assert not volumes(host)
    assert 'ignore_suspended_devices' in host.started[-1]


def test_what_stays_in_use_is_an_error(host: simulated.Lvm2) -> None:
    host.held.add('a')
    with pytest.raises(processutils.ProcessExecutionError, match='in use'):
        tools(host).remove('gold', 'a')
    with pytest.raises(processutils.ProcessExecutionError, match='in use'):
        tools(host).deactivate('gold', 'a')
    assert volumes(host)['a'].active


# Growth.


def test_growing_an_origin_leaves_it_active(host: simulated.Lvm2) -> None:
    snapshot(host)
    tools(host).extend('gold', 'a', size('16m'))
    assert (volumes(host)['a'].size, volumes(host)['a'].active) == (16 * MEBI, True)
    with pytest.raises(processutils.ProcessExecutionError, match='nsufficient'):
        tools(host).extend('gold', 'a', size('16g'))
    assert volumes(host)['a'].active
    tools(host).deactivate('gold', 'a')
    tools(host).extend('gold', 'a', size('+8m'))
    assert not volumes(host)['a'].active


def test_an_origin_that_cannot_be_grown_in_time_is_active_again(host: simulated.Lvm2) -> None:
    snapshot(host)

    def hang() -> None:
        clock.sleep(host.keywords[-1]['timeout'])
        raise exception.ExecutionTimeout(cmd='lvextend')

    host.before('lvextend *', hang)
    with pytest.raises(exception.OperationTimedOut, match='lvextend of logical volume gold/a'):
        tools(host).extend('gold', 'a', size('16m'))
    assert volumes(host)['a'].active


def test_growing_to_the_same_size_is_done(host: simulated.Lvm2) -> None:
    tools(host).extend('gold', 'a', size('8m'))
    with pytest.raises(processutils.ProcessExecutionError, match='not larger'):
        tools(host).extend('gold', 'a', size('4m'))


# Activation.


def test_deactivation_is_waited_for(host: simulated.Lvm2) -> None:
    host.refused.add('a')  # LVM says it is done, and the kernel is not.
    volume = volumes(host)['a']
    host.before('lvs *', lambda: None)
    host.before('lvs *', lambda: setattr(volume, 'active', False))
    tools(host).deactivate('gold', 'a')
    volume.active = True
    with pytest.raises(exception.VolumeNotDeactivated, match='a was not'):
        tools(host).deactivate('gold', 'a')


def test_an_activation_that_the_configuration_forbids(host: simulated.Lvm2) -> None:
    tools(host).deactivate('gold', 'a')
    host.refused.add('a')
    with pytest.raises(exception.VolumeDeviceNotFound, match='/dev/gold/a'):
        tools(host).activate('gold', 'a', permanent=False)


@pytest.mark.parametrize('permanent', [False, True])
def test_activated_for_good(host: simulated.Lvm2, permanent: bool) -> None:
    volumes(host)['a'].skip = True
    tools(host).activate('gold', 'a', permanent=permanent)
    assert volumes(host)['a'].skip is not permanent


# Questions.


def test_what_is_not_there_is_in_no_list(host: simulated.Lvm2) -> None:
    assert [each.name for each in tools(host).volumes('gold')] == ['a']
    assert tools(host).volumes('gold', 'b') == tools(host).volumes('silver') == []
    assert (tools(host).has('gold', 'a'), tools(host).has('gold', 'b')) == (True, False)
    with pytest.raises(exception.VolumeGroupNotFound, match='silver'):
        tools(host).groups('silver')


def test_lists_of_an_exported_group_are_an_error_and_not_empty(host: simulated.Lvm2) -> None:
    host.groups['gold'].exported = True
    with pytest.raises(processutils.ProcessExecutionError, match='is exported'):
        tools(host).volumes('gold')


# Programs that go wrong.


def test_a_crash_is_tried_again(host: simulated.Lvm2) -> None:
    host.before('lvs *', host.crash)
    host.before('lvs *', host.crash)
    assert len(tools(host).volumes('gold')) == 1
    for _number in range(lvm.TRIES):
        host.before('lvs *', host.crash)
    with pytest.raises(processutils.ProcessExecutionError) as caught:
        tools(host).volumes('gold')
    assert caught.value.exit_code == 139


@pytest.mark.parametrize(
    'error',
    [
        exception.ExecutionTimeout(cmd='lvs', description='Killed after 120 s without an end'),
        subprocess.TimeoutExpired('lvs', 120),
    ],
    ids=['ours', 'oslo'],
)
def test_a_program_that_hangs_names_what_it_is_about(
    host: simulated.Lvm2, error: Exception
) -> None:
    for pattern, act, what in (
        ('lvs *', lambda: tools(host).volumes('gold'), 'lvs of volume group gold'),
        (
            'lvremove *',
            lambda: tools(host).remove('gold', 'a'),
            'lvremove of logical volume gold/a',
        ),
        ('pvs *', lambda: tools(host).physical_volumes(), 'pvs of this host'),
    ):
        host.before(pattern, fails(error))
        with pytest.raises(exception.OperationTimedOut, match=what):
            act()


def test_nothing_is_begun_after_the_deadline(host: simulated.Lvm2) -> None:
    late = tools(host)
    host.before('lvs *', lambda: clock.sleep(200))
    source = late.volume('gold', 'a')
    with pytest.raises(exception.OperationTimedOut, match='lvcreate'):
        late.snapshot('gold', 's', source, thin=False)
    assert [line.split()[0] for line in host.started] == ['lvs']


@pytest.mark.parametrize('text', ["env: 'lvs': No such file or directory; not found", None])
def test_tools_that_are_not_there(host: simulated.Lvm2, text: str | None) -> None:
    """``env`` says that it does not find the program: that is not a missing volume."""
    error = processutils.ProcessExecutionError(stderr=text, exit_code=127, cmd='env')
    error.stderr = text
    error.stdout = None
    host.before('lvs *', fails(error))
    with pytest.raises(processutils.ProcessExecutionError):
        tools(host).volumes('gold')


def test_an_answer_that_is_not_a_report() -> None:
    nonsense = tools(lambda *_words, **_keywords: ('something else', ''))
    with pytest.raises(processutils.ProcessExecutionError, match='not a report'):
        nonsense.volumes('gold')
    with pytest.raises(exception.BrickException, match='version'):
        nonsense.version()
