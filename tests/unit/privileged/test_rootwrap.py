# SPDX-License-Identifier: Apache-2.0
"""Programs and links under their public names."""

from collections.abc import Iterator
import errno
import logging
import os
import pathlib
import time
from typing import Any

from oslo_concurrency import processutils
import pytest

from os_brick import exception
from os_brick.core import clock, files, process
from os_brick.privileged import rootwrap
from tests.unit import seams

FAILS = (3, 'out', 'err')
WORKS = (0, 'out', 'err')
HANGS = process.TimeLimit('half')


def _run(answers: list[Any], **kwargs: Any) -> tuple[Any, seams.Programs, seams.Clock]:
    programs, ticking = seams.Programs({'tool arg 5': answers}), seams.Clock()
    with process.use(programs), clock.use(ticking):
        result = rootwrap.custom_execute('tool', 'arg', 5, **kwargs)  # type: ignore[arg-type]
    return result, programs, ticking


class TestCustomExecute:
    def test_returns_output_and_errors(self) -> None:
        result, programs, _ticking = _run([WORKS], cwd='/x', env_variables={'A': 'b'})
        assert result == ('out', 'err')
        assert programs.keywords[0]['cwd'] == '/x'
        assert programs.keywords[0]['env'] == {'A': 'b'}
        assert programs.keywords[0]['timeout'] == 600

    @pytest.mark.parametrize('timeout', [0, None])
    def test_no_time_limit(self, timeout: Any) -> None:
        _result, programs, _ticking = _run([WORKS], timeout=timeout)
        assert programs.keywords[0]['timeout'] is None

    @pytest.mark.parametrize(
        ('allowed', 'code', 'raises'),
        [
            (0, 0, False),
            (0, 3, True),
            (3, 3, False),
            (3, 0, True),
            (True, 3, True),
            (None, 3, True),
            (False, 3, False),
            ([0, 3], 3, False),
            ((0, 3), 4, True),
        ],
    )
    def test_exit_codes(self, allowed: Any, code: int, raises: bool) -> None:
        if raises:
            with pytest.raises(processutils.ProcessExecutionError) as caught:
                _run([(code, 'o', 'e')], check_exit_code=allowed)
            assert caught.value.exit_code == code
        else:
            assert _run([(code, 'o', 'e')], check_exit_code=allowed)[0] == ('o', 'e')

    @pytest.mark.parametrize(
        ('keywords', 'naps'),
        [
            ({}, [2, 4]),
            ({'interval': 10}, [20, 40]),
            ({'interval': 0.5, 'backoff_rate': 1}, [0.5, 0.5]),
            ({'delay_on_retry': True}, [1, 1]),
            ({'delay_on_retry': False}, [0, 0]),
        ],
    )
    def test_waits_before_each_further_try(self, keywords: Any, naps: list[float]) -> None:
        result, programs, ticking = _run([FAILS, FAILS, WORKS], attempts=3, **keywords)
        assert result == ('out', 'err')
        assert ticking.naps == naps
        assert len(programs.started) == 3

    def test_the_last_error_is_raised_without_a_wait_after_it(self) -> None:
        programs, ticking = seams.Programs({'tool': [HANGS, (7, '', '')]}), seams.Clock()
        with (
            process.use(programs),
            clock.use(ticking),
            pytest.raises(processutils.ProcessExecutionError) as caught,
        ):
            rootwrap.custom_execute('tool', attempts=2)
        assert caught.value.exit_code == 7
        assert ticking.naps == [2]

    def test_both_kinds_of_waiting_exclude_each_other(self) -> None:
        with pytest.raises(TypeError):
            _run([WORKS], delay_on_retry=True, interval=1)

    @pytest.mark.parametrize('allowed', [0, True, [0, 3]])
    def test_a_time_out_is_raised_also_with_the_exit_code_zero(self, allowed: Any) -> None:
        with pytest.raises(exception.ExecutionTimeout) as caught:
            _run([HANGS], check_exit_code=allowed, timeout=5)
        assert caught.value.stdout == 'half'
        assert caught.value.cmd == 'tool arg 5'

    @pytest.mark.parametrize('keywords', [{'check_exit_code': False}, {'raise_timeout': False}])
    def test_a_time_out_that_is_not_raised_gives_what_was_written(self, keywords: Any) -> None:
        (out, err), _programs, _ticking = _run([HANGS], timeout=5, **keywords)
        assert out == 'half'
        assert 'after 5 s' in err

    @pytest.mark.parametrize(
        'keyword',
        [
            *('on_execute', 'on_completion', 'preexec_fn', 'prlimit', 'python_exec', 'binary'),
            'spelt_wrong',
        ],
    )
    def test_keywords_that_it_does_not_have_are_refused_by_name(self, keyword: str) -> None:
        with pytest.raises(processutils.UnknownArgumentError, match=keyword):
            _run([], **{keyword: None})

    def test_keywords_without_effect_are_taken(self) -> None:
        assert _run([WORKS], loglevel=10, log_errors=None, signal=9)[0] == ('out', 'err')

    def test_a_secret_is_neither_logged_nor_in_the_error(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        line = 'iscsiadm -n node.session.auth.password -v s3cret'
        programs = seams.Programs({line: [(5, 's3cret is bad', 's3cret')]})
        with (
            process.use(programs),
            pytest.raises(processutils.ProcessExecutionError) as caught,
        ):
            rootwrap.custom_execute(*line.split())
        assert 's3cret' not in f'{caught.value}{caplog.text}'
        assert programs.started == [line]

    def test_a_real_program_that_ignores_the_end_is_killed_with_its_children(self) -> None:
        begun = time.monotonic()
        with pytest.raises(exception.ExecutionTimeout):
            rootwrap.custom_execute('sh', '-c', 'trap "" TERM; sleep 60 & sleep 60', timeout=0.2)
        assert time.monotonic() - begun < 10

    def test_input_reaches_a_real_program(self) -> None:
        assert rootwrap.custom_execute('cat', process_input='in') == ('in', '')


class TestExecute:
    def test_runs_as_root_or_not(self) -> None:
        with process.use(seams.Programs({'lvs': [WORKS], 'b': [WORKS]})):
            assert rootwrap.execute('lvs', run_as_root=True, root_helper='sudo') == ('out', 'err')
            assert rootwrap.execute('b', root_helper='sudo') == ('out', 'err')

    @pytest.mark.parametrize(('run_as_root', 'place'), [(True, '/usr/bin'), (False, '/nowhere')])
    def test_a_missing_program(self, run_as_root: bool, place: str) -> None:
        with pytest.raises(processutils.ProcessExecutionError) as caught:
            rootwrap.execute(f'{place}/casadm', 'x', run_as_root=run_as_root)
        assert caught.value.cmd == f'{place}/casadm x'
        assert 'No such file' in str(caught.value.description)

    @pytest.mark.parametrize('keyword', ['shell', 'run_as_root'])
    def test_root_refuses_what_others_may(self, keyword: str) -> None:
        with pytest.raises(TypeError):
            rootwrap.execute_root('lvs', **{keyword: True})


LINK = '/dev/disk/by-id/os-brick+dev+sda'


@pytest.fixture
def root(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    (tmp_path / 'dev').mkdir()
    with files.use(str(tmp_path)):
        yield tmp_path


class TestLinks:
    @pytest.mark.parametrize('name', ['os-brick+dev+sda', 'os-brick=+dev+a=2bb'])
    def test_makes_and_removes(self, root: pathlib.Path, name: str) -> None:
        link = f'/dev/disk/by-id/{name}'
        rootwrap.link_root('/dev/sda', link)
        assert os.readlink(f'{root}{link}') == '/dev/sda'
        rootwrap.unlink_root(link)
        assert os.listdir(root / 'dev/disk/by-id') == []

    def test_links_that_other_tools_believe_are_never_made(self, root: pathlib.Path) -> None:
        link = '/dev/disk/by-id/scsi-3600'
        with pytest.raises(exception.InvalidParameterValue):
            rootwrap.link_root('/dev/sda', link)
        (root / 'dev/disk/by-id').mkdir(parents=True)
        (root / link[1:]).symlink_to('/dev/sda')
        rootwrap.unlink_root(link)
        assert os.listdir(root / 'dev/disk/by-id') == []

    def test_replaces_a_link_and_leaves_no_other(self, root: pathlib.Path) -> None:
        rootwrap.link_root('/dev/sda', LINK)
        rootwrap.link_root('/dev/mapper/crypt-a', LINK, force=True)
        assert os.readlink(f'{root}{LINK}') == '/dev/mapper/crypt-a'
        assert len(os.listdir(root / 'dev/disk/by-id')) == 1

    def test_without_force_what_is_there_stays(self, root: pathlib.Path) -> None:
        rootwrap.link_root('/dev/sda', LINK)
        with pytest.raises(FileExistsError, match='os-brick'):
            rootwrap.link_root('/dev/sdb', LINK, force=False)
        assert os.readlink(f'{root}{LINK}') == '/dev/sda'

    def test_a_directory_stays_and_nothing_is_left(self, root: pathlib.Path) -> None:
        os.makedirs(f'{root}{LINK}')
        with pytest.raises(IsADirectoryError):
            rootwrap.link_root('/dev/sda', LINK)
        assert os.listdir(root / 'dev/disk/by-id') == ['os-brick+dev+sda']

    @pytest.mark.parametrize(
        'link',
        [
            '/etc/passwd',
            '/dev/sda',
            '/dev/disk/by-id/wwn-1',
            '/dev/disk/by-id/os-brick/../../../../etc/passwd',
            '/dev/disk/by-id/scsi-1/x',
            'os-brick',
            '/dev/disk/by-id/os-brick\0',
            '/dev/disk/by-id/scsi-1\n/x',
        ],
    )
    def test_other_names_are_refused(self, root: pathlib.Path, link: str) -> None:
        with pytest.raises(exception.InvalidParameterValue):
            rootwrap.link_root('/dev/sda', link)
        with pytest.raises(exception.InvalidParameterValue):
            rootwrap.unlink_root(link, no_errors=False)

    @pytest.mark.parametrize('target', ['/etc/shadow', 'sda', '/dev/../etc/shadow', '/dev/'])
    def test_other_targets_are_refused(self, root: pathlib.Path, target: str) -> None:
        with pytest.raises(exception.InvalidParameterValue):
            rootwrap.link_root(target, LINK)

    def test_the_first_failure_ends_it(self, root: pathlib.Path) -> None:
        rootwrap.link_root('/dev/sda', LINK)
        with pytest.raises(FileNotFoundError) as caught:
            rootwrap.unlink_root(f'{LINK}9', LINK)
        assert caught.value.errno == errno.ENOENT
        assert f'{LINK}9' in str(caught.value)
        assert os.path.islink(f'{root}{LINK}')

    @pytest.mark.parametrize('at_end', [True, False])
    def test_no_errors_goes_on_and_wins(
        self, root: pathlib.Path, at_end: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        rootwrap.link_root('/dev/sda', LINK)
        rootwrap.unlink_root(f'{LINK}9', LINK, no_errors=True, raise_at_end=at_end)
        assert not os.path.islink(f'{root}{LINK}')
        assert f'{LINK}9' in caplog.text

    def test_raise_at_end_tries_all(self, root: pathlib.Path) -> None:
        rootwrap.link_root('/dev/sda', LINK)
        with pytest.raises(exception.ExceptionChainer, match=r'\+sda9'):
            rootwrap.unlink_root(f'{LINK}9', LINK, raise_at_end=True)
        assert not os.path.islink(f'{root}{LINK}')
