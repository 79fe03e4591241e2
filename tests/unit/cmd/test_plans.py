# SPDX-License-Identifier: Apache-2.0
"""--plan and --apply of every protocol on its fake host, as a user has them."""

from collections.abc import Iterator
import errno
import functools
import json
import os
import pathlib

import pytest

from os_brick.cmd.exits import Exit
from os_brick.core import files
from os_brick.host import notes
from tests.unit import planned
from tests.unit.cmd.test_change import PROPS, Shell, shell  # noqa: F401

# A local volume is not noted, and of a volume of PowerFlex the note has no password.
NO_NOTE_WITH_ALL = ('local', 'powerflex')
# Of the fake SCSI hosts ports, identities and names of disks are other ones in each run.
NO_GOLDEN = {'iscsi', 'fc'}
GOLDEN = pathlib.Path(__file__).with_name('golden_plans')


@pytest.fixture(params=planned.STAGES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Host:
    """A volume of one protocol, and the shell."""

    def __init__(self, name: str, stage: planned.Stage, shell: Shell) -> None:  # noqa: F811
        self.name, self.stage, self.shell = name, stage, shell

    def run(self, operation: str, *words: str) -> int:
        code = self.shell.run(operation, PROPS, '--timeout', '60', *words)
        assert not [each for each in planned.SECRETS if each in self.shell.out + self.shell.err]
        return code

    def plan(self, operation: str) -> str:
        """The ID of a plan, for which nothing was changed; it is the one that was found good."""
        before = self.stage.contents()
        assert self.run(operation, '--plan') == Exit.OK, self.shell.err
        shown = self.shell.out
        assert self.run(operation, '--plan', '-f', 'json') == Exit.OK
        known = str(self.shell.document['id'])
        assert f'plan {known} ' in shown
        assert self.stage.contents() == before
        return known

    def apply(self, operation: str, known: str) -> None:
        """What is told of its steps is what was shown."""
        shown = [verb for plan in self.shell.document['plans'] for verb in planned.verbs(plan)]
        assert self.run(operation, '--apply', known, '-f', 'json') == Exit.OK, self.shell.err
        told = [each['name'] for each in self.shell.document['steps']]
        done = [each for each in told if each not in planned.WAITS]
        order = functools.partial(self.stage.order, operation)
        assert order(done) == order(shown), operation

    def refused(self, operation: str, known: str) -> None:
        before = self.stage.contents()
        assert self.run(operation, '--apply', known) == Exit.REFUSED, self.shell.out
        assert 'nothing was done' in self.shell.err
        assert self.stage.contents() == before

    def again(self) -> None:
        """Another process has detached and attached it."""
        for operation in ('detach', 'attach'):
            assert self.run(operation) == Exit.OK, self.shell.err


@pytest.fixture
def host(name: str, tmp_path: pathlib.Path, shell: Shell) -> Iterator[Host]:  # noqa: F811
    with planned.STAGES[name](tmp_path) as stage:
        connection = {'driver_volume_type': stage.protocol, 'data': stage.props, **stage.more}
        stage.file(PROPS, json.dumps(connection))
        os.chmod(stage.place(PROPS), 0o600)
        yield Host(name, stage, shell)


def compare(host: Host, operation: str) -> None:
    """Have the plan be as it was once looked at; OS_BRICK_GOLDEN=1 writes it anew."""
    if host.name in NO_GOLDEN:
        return
    path = GOLDEN / f'{host.name}-{operation}.json'
    document = planned.settled(host.shell.document)
    text = planned.steady(json.dumps(document, indent=2, sort_keys=True)) + '\n'
    if os.environ.get('OS_BRICK_GOLDEN'):
        path.write_text(text)
    assert text == path.read_text(), operation


def test_the_course_of_a_volume(host: Host, state_path: str) -> None:
    before = host.stage.contents()
    known = host.plan('attach')
    compare(host, 'attach')
    assert notes.every(state_path) == notes.Noted()
    host.apply('attach', known)
    if host.stage.grow:
        host.stage.grow()
        known = host.plan('extend')
        compare(host, 'extend')
        host.apply('extend', known)
    known = host.plan('detach')
    compare(host, 'detach')
    host.apply('detach', known)
    assert (host.stage.contents() == before) is not host.stage.stays


@pytest.mark.parametrize('name', ['nvme'])
def test_which_portal_is_first_makes_no_difference(host: Host) -> None:
    """The paths are opened side by side, and the kernel numbers controllers as they come."""
    last = host.stage.props['portals'][-1:]
    for more in ({'portals': last}, {}):
        connection = {'driver_volume_type': 'nvmeof', 'data': {**host.stage.props, **more}}
        host.stage.file(PROPS, json.dumps(connection))
        assert host.run('attach') == Exit.OK, host.shell.err
    host.plan('detach')
    compare(host, 'detach')


def test_a_plan_of_a_host_that_has_changed_is_refused(host: Host) -> None:
    attach = host.plan('attach')
    assert host.run('attach') == Exit.OK, host.shell.err
    if host.stage.tells:
        host.refused('attach', attach)
    plans = {each: host.plan(each) for each in ('extend', 'detach') if each in host.stage.planned}
    host.again()
    for operation, known in plans.items():
        host.refused(operation, known)


def test_a_volume_is_detached_by_its_id(host: Host, state_path: str) -> None:
    if host.name in NO_NOTE_WITH_ALL:
        return
    host.shell.run('attach', PROPS, '--id', planned.VOLUME_ID)
    (noted,) = notes.every(state_path).notes
    for what in ('', '/dev/'):
        assert host.shell.run('detach', what) != Exit.OK
    assert host.shell.run('detach', noted.volume_id, '--plan') == Exit.OK, host.shell.err
    assert host.shell.run('detach', noted.volume_id) == Exit.OK, host.shell.err
    assert notes.every(state_path) == notes.Noted()


def test_an_operation_that_there_is_not(host: Host) -> None:
    if host.stage.grow is None and not host.stage.is_idle:
        assert host.run('attach') == Exit.OK
        for words in ((), ('--plan',), ('--apply', '00000000')):
            assert host.run('extend', *words) == Exit.USAGE
            assert 'have no extend' in host.shell.err


def test_what_was_not_shown_is_not_done(host: Host) -> None:
    """Whatever the operation takes for a lock, or takes none."""
    for operation in ('attach', 'detach'):
        host.refused(operation, '00000000')


@pytest.mark.parametrize('name', ['rbd'])
def test_a_detach_of_an_image_that_no_kernel_maps_is_checked(host: Host) -> None:
    """Its properties say that a process opens it, so a plan of it can never have been shown."""
    more = {**host.stage.props, 'do_local_attach': False}
    host.stage.file(PROPS, json.dumps({'driver_volume_type': 'rbd', 'data': more}))
    for words in ((), ('--plan',), ('--apply', '0' * 8), ('--force', '--ignore-errors')):
        assert host.run('detach', *words) == Exit.USAGE
        assert 'do_local_attach: it is false' in host.shell.err
    host.stage.file(PROPS, json.dumps({'driver_volume_type': 'rbd', 'data': host.stage.props}))
    assert host.run('attach') == Exit.OK
    device = host.shell.out.strip()
    more['device_path'] = device
    host.stage.file(PROPS, json.dumps({'driver_volume_type': 'rbd', 'data': more}))
    assert host.run('detach') == Exit.OK, host.shell.err
    assert not host.stage.place(device).exists()


@pytest.mark.parametrize('name', ['rbd', 'nfs', 'nvme', 'iscsi'])
def test_a_plan_of_what_cannot_be_read(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends as the operation would."""

    def fails(_path: str, *_more: object) -> dict[str, int]:
        raise OSError(errno.EMFILE, 'Too many open files')

    host.run('attach')
    with monkeypatch.context() as patch:
        for each in ('entries', 'listed', 'read_bytes', 'inode', 'readlink'):
            patch.setattr(files, each, fails)
        assert host.run('detach', '--plan') == Exit.WARNINGS  # 1: nothing was changed
    assert 'Too many open files' in host.shell.err
    assert 'fault of os-brick' not in host.shell.err


def test_each_golden_is_one_of_a_plan() -> None:
    found = {path.name.rpartition('-')[0] for path in GOLDEN.iterdir()}
    assert found == planned.STAGES.keys() - NO_GOLDEN
