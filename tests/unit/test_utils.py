# SPDX-License-Identifier: Apache-2.0
"""The public helpers."""

from collections.abc import Iterator
import logging
import os
import pathlib
import time
from typing import Any

from oslo_concurrency import processutils
import pytest

from os_brick import exception, executor, utils
from os_brick.core import clock, files
from tests.unit import seams


class Flaky:
    """Fails so many times, then answers."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return 'done'


def _failed(code: int) -> processutils.ProcessExecutionError:
    return processutils.ProcessExecutionError(exit_code=code)


class TestRetry:
    @pytest.mark.parametrize(
        ('keywords', 'naps'),
        [
            ({}, [1, 2]),
            ({'retries': 5}, [1, 2, 4, 8]),
            ({'interval': 0.5, 'backoff_rate': 0.5}, [0.5, 0.25]),
            ({'retries': 1}, []),
            ({'interval': 3, 'backoff_rate': 1}, [3, 3]),
        ],
    )
    def test_waits_and_raises_the_last_error(self, keywords: Any, naps: list[float]) -> None:
        tries = len(naps) + 1
        flaky = Flaky(*(KeyError(number) for number in range(tries)))
        with clock.use(ticking := seams.Clock()), pytest.raises(KeyError) as caught:
            utils.retry(KeyError, **keywords)(Flaky.__call__)(flaky)
        assert ticking.naps == naps
        assert flaky.calls == tries
        assert caught.value.args == (tries - 1,)

    def test_ends_with_the_first_answer(self) -> None:
        flaky = Flaky(ValueError(), KeyError())
        with clock.use(seams.Clock()):
            assert utils.retry((ValueError, KeyError))(Flaky.__call__)(flaky) == 'done'
        assert flaky.calls == 3

    def test_other_errors_pass_at_once(self) -> None:
        flaky = Flaky(ValueError('other'))
        with pytest.raises(ValueError, match='other'):
            utils.retry(KeyError)(Flaky.__call__)(flaky)
        assert flaky.calls == 1

    @pytest.mark.parametrize('retries', [0, -1])
    def test_no_try_at_all_is_refused(self, retries: int) -> None:
        with pytest.raises(ValueError, match='retries'):
            utils.retry(KeyError, retries=retries)

    @pytest.mark.parametrize(
        ('codes', 'calls'), [(5, 2), ((5, 6), 2), ([5], 2), (6, 1), ((6, 7), 1)]
    )
    def test_exit_codes(self, codes: Any, calls: int) -> None:
        flaky = Flaky(_failed(5))
        again = utils.retry(codes, retry=utils.retry_if_exit_code)(Flaky.__call__)
        with clock.use(seams.Clock()):
            if calls == 1:
                with pytest.raises(processutils.ProcessExecutionError):
                    again(flaky)
            else:
                again(flaky)
        assert flaky.calls == calls

    def test_codes_are_a_tuple(self) -> None:
        assert utils.retry_if_exit_code(5).codes == (5,)
        assert utils.retry_if_exit_code((5, 6)).codes == (5, 6)

    def test_the_sleep_can_be_replaced(self, monkeypatch: pytest.MonkeyPatch) -> None:
        naps: list[float] = []
        monkeypatch.setattr(utils, '_time_sleep', naps.append)
        utils.retry(KeyError)(Flaky.__call__)(Flaky(KeyError()))
        assert naps == [1]

    def test_keeps_the_name(self) -> None:
        @utils.retry(KeyError)
        def name() -> None:
            """Say what it does."""

        assert (name.__name__, name.__doc__) == ('name', 'Say what it does.')

    def test_time_sleep_is_the_interpreters(self) -> None:
        assert time.sleep.__module__ == 'time'


@pytest.mark.parametrize(
    ('current', 'wanted', 'same'),
    [('x86_64', 'ALL', True), ('x86_64', 'X86', False), ('s390', 'S390', True),
     ('s390x', 'S390', False), ('S390', 's390', True)],
)  # fmt: skip
def test_platform_matches(current: str, wanted: str, same: bool) -> None:
    assert utils.platform_matches(current, wanted) is same


@pytest.mark.parametrize(
    ('current', 'wanted', 'same'),
    [('linux2', 'LINUX', True), ('linux', 'linux', True), ('win32', 'LINUX', False),
     ('win32', 'ALL', True)],
)  # fmt: skip
def test_os_matches(current: str, wanted: str, same: bool) -> None:
    assert utils.os_matches(current, wanted) is same


def test_merge_dict() -> None:
    one, two = {'a': 1, 'b': 1}, {'b': 2}
    assert utils.merge_dict(one, two) == {'a': 1, 'b': 2}
    assert one == {'a': 1, 'b': 1}

    class Other(dict[str, int]):
        pass

    for wrong in (None, Other(), [('a', 1)]):
        with pytest.raises(Exception, match='dictionaries'):
            utils.merge_dict(one, wrong)  # type: ignore[arg-type]


def test_convert_str() -> None:
    handle = object()
    assert utils.convert_str(b'\xc3\xa4') == 'ä'
    assert utils.convert_str('ä') == 'ä'
    assert utils.convert_str(handle) is handle


def test_anything() -> None:
    assert utils.ANY == 5
    assert utils.ANY == None  # noqa: E711
    assert not utils.ANY != 5  # noqa: SIM202
    assert not any([utils.ANY < 5, utils.ANY > 5, utils.ANY <= 5, utils.ANY >= 5])
    assert str(utils.ANY) == repr(utils.ANY) == '<Anything>'
    with pytest.raises(TypeError):
        hash(utils.ANY)


class TestTrace:
    @pytest.fixture
    def debug(self, caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
        caplog.set_level(logging.DEBUG, __name__)
        return caplog

    class Connector:
        @utils.trace
        def connect(self, props: Any, force: bool = False) -> Any:
            if force:
                raise ValueError('password=s3cret')
            return ({'keyring': 's3cret', 'path': '/dev/sda'},)

    def test_shows_arguments_and_result(self, debug: pytest.LogCaptureFixture) -> None:
        with clock.use(seams.Clock()):
            result = self.Connector().connect({'auth_password': 's3cret', 'target_lun': 1})
        assert result == ({'keyring': 's3cret', 'path': '/dev/sda'},)
        assert debug.messages == [
            "==> connect: call {'self': '<Connector>', 'props': {'auth_password': '***', "
            "'target_lun': 1}, 'force': False}",
            "<== connect: return (0ms) ({'keyring': '***', 'path': '/dev/sda'},)",
        ]
        assert {record.name for record in debug.records} == {__name__}

    def test_shows_the_error(self, debug: pytest.LogCaptureFixture) -> None:
        with clock.use(seams.Clock()), pytest.raises(ValueError, match='s3cret'):
            self.Connector().connect({}, force=True)
        assert debug.messages[1] == '<== connect: exception (0ms) ValueError: password=***'

    def test_wrong_arguments_are_an_error_of_the_call(
        self, debug: pytest.LogCaptureFixture
    ) -> None:
        with pytest.raises(TypeError, match='missing 1 required'):
            self.Connector().connect()  # type: ignore[call-arg]

    def test_silent_above_debug(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, __name__)
        self.Connector().connect({})
        assert not caplog.records


@pytest.mark.parametrize(
    ('props', 'info', 'path'),
    [
        ({'device_path': '/dev/a'}, {'path': '/dev/b'}, '/dev/b'),
        ({'device_path': '/dev/a'}, {'path': b'/dev/b'}, '/dev/b'),
        ({'device_path': '/dev/a'}, {'path': ''}, '/dev/a'),
        ({'device_path': '/dev/a'}, {}, '/dev/a'),
        ({'device_path': b'/dev/a'}, None, '/dev/a'),
        ({'device_path': None}, None, ''),
        ({}, {'x': 1}, ''),
    ],
)
def test_get_dev_path(props: Any, info: Any, path: str) -> None:
    assert utils.get_dev_path(props, info) == path


class Answers(executor.Executor):
    """Answers each command with the same."""

    def __init__(self, answer: Any) -> None:
        self.commands: list[Any] = []

        def execute(*args: Any, **kwargs: Any) -> Any:
            self.commands.append((args, kwargs))
            if isinstance(answer, Exception):
                raise answer
            return answer

        super().__init__('helper', execute)


ROOT = {'run_as_root': True, 'root_helper': 'helper'}


@pytest.mark.parametrize(('out', 'size'), [('123\n', 123), ('', None), ('x', None), ('0', 0)])
def test_get_device_size(out: str, size: int | None) -> None:
    answers = Answers((out, ''))
    assert utils.get_device_size(answers, '/dev/sda') == size
    assert answers.commands == [(('blockdev', '--getsize64', '/dev/sda'), ROOT)]


def test_get_device_size_fails() -> None:
    with pytest.raises(processutils.ProcessExecutionError):
        utils.get_device_size(Answers(_failed(1)), '/dev/sda')


@pytest.mark.parametrize(
    ('answer', 'valid'),
    [(('', ''), True), (('', 'x'), True), (('', None), False), (_failed(1), False)],
)
def test_check_valid_device(answer: Any, valid: bool) -> None:
    answers = Answers(answer)
    assert utils.check_valid_device(answers, '/dev/sda') is valid
    assert answers.commands == [(('dd', 'if=/dev/sda', 'of=/dev/null', 'count=1'), ROOT)]


@pytest.mark.parametrize(
    ('kind', 'encoded', 'passphrase'),
    [('passphrase', 'ä'.encode(), 'ä'), ('symmetric_key', b'\xab\x01', 'ab01')],
)
def test_get_passphrase_from_secret(kind: str, encoded: bytes, passphrase: str) -> None:
    class Key:
        def managed_type(self) -> str:
            return kind

        def get_encoded(self) -> bytes:
            return encoded

    assert utils.get_passphrase_from_secret(Key()) == passphrase


# Paths of encrypted volumes.

LINK = '/dev/disk/by-id/os-brick+dev+sda'


class Connector:
    """Attaches what it is told; remembers with what it was called."""

    def __init__(self, path: Any = '/dev/sda', fails: Exception | None = None) -> None:
        self.path = path
        self.fails = fails
        self.seen: list[Any] = []

    @utils.connect_volume_prepare_result
    def connect_volume(self, connection_properties: dict[str, Any]) -> dict[str, Any]:
        return {'type': 'block', 'path': self.path}

    @utils.connect_volume_undo_prepare_result(unlink_after=True)
    def disconnect_volume(
        self,
        connection_properties: dict[str, Any],
        device_info: Any,
        force: bool = False,
        ignore_errors: bool = False,
    ) -> str:
        self.seen.append((connection_properties, device_info, force, ignore_errors))
        if self.fails:
            raise self.fails
        return 'gone'

    @utils.connect_volume_undo_prepare_result
    def extend_volume(self, connection_properties: dict[str, Any]) -> int:
        self.seen.append(connection_properties)
        return 5

    @utils.connect_volume_undo_prepare_result
    def odd(self, *args: Any, connection_properties: Any, **kwargs: Any) -> Any:
        return args, connection_properties, kwargs


@pytest.fixture
def root(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    (tmp_path / 'dev').mkdir()
    with files.use(str(tmp_path)):
        yield tmp_path


@pytest.fixture
def linked(root: pathlib.Path) -> pathlib.Path:
    (root / 'dev/disk/by-id').mkdir(parents=True)
    (root / LINK[1:]).symlink_to('/dev/sda')
    return root


ENCRYPTED = {'encrypted': True, 'target_lun': 1}


class TestPrepareResult:
    @pytest.mark.parametrize('encrypted', [False, True])
    def test_a_link_of_which_nothing_is_noted_stays(
        self, linked: pathlib.Path, encrypted: bool
    ) -> None:
        """It may be that of this volume, which another connector has attached before."""
        (linked / 'dev/disk/by-id/os-brick+dev+other').symlink_to('/dev/sda')
        result = Connector().connect_volume({**ENCRYPTED, 'encrypted': encrypted})
        left = {path.name for path in (linked / 'dev/disk/by-id').iterdir()}
        assert left == {'os-brick+dev+other', 'os-brick+dev+sda'}
        assert result['path'] == (LINK if encrypted else '/dev/sda')

    @pytest.mark.parametrize('path', ['/dev/sda', b'/dev/sda'])
    def test_an_encrypted_volume_gets_a_link(self, root: pathlib.Path, path: Any) -> None:
        result = Connector(path).connect_volume(connection_properties=ENCRYPTED)
        assert result == {'type': 'block', 'path': LINK}
        assert os.readlink(f'{root}{LINK}') == '/dev/sda'

    def test_the_link_is_to_the_real_device(self, root: pathlib.Path) -> None:
        (root / 'dev/alias').symlink_to(root / 'dev/sdb')
        result = Connector('/dev/alias').connect_volume(ENCRYPTED)
        assert os.readlink(f'{root}{result["path"]}') == '/dev/sdb'

    @pytest.mark.parametrize('props', [{}, {'encrypted': False}])
    @pytest.mark.parametrize('path', ['/dev/sda', b'/dev/sda'])
    def test_others_stay(self, root: pathlib.Path, props: Any, path: Any) -> None:
        assert Connector(path).connect_volume(props)['path'] == path
        assert not (root / 'dev/disk').exists()

    def test_a_handle_stays(self, root: pathlib.Path) -> None:
        handle = object()
        assert Connector(handle).connect_volume(ENCRYPTED)['path'] is handle

    @pytest.mark.parametrize('second', [None, ValueError('second')])
    def test_without_a_link_it_is_disconnected_and_that_error_raised(
        self, root: pathlib.Path, second: Exception | None
    ) -> None:
        (root / LINK[1:]).mkdir(parents=True)
        connector = Connector(fails=second)
        with pytest.raises(IsADirectoryError) as caught:
            connector.connect_volume(ENCRYPTED)
        info = {'type': 'block', 'path': '/dev/sda'}
        assert connector.seen == [(ENCRYPTED, info, True, True)]
        assert ('second' in str(getattr(caught.value, '__notes__', ''))) is bool(second)


class TestUndoPrepareResult:
    def test_the_device_is_seen_and_the_link_removed(self, linked: pathlib.Path) -> None:
        props, info = dict(ENCRYPTED), {'path': LINK, 'type': 'block'}
        connector = Connector()
        assert connector.disconnect_volume(props, info, force=True) == 'gone'
        real = {'path': '/dev/sda', 'type': 'block'}
        assert connector.seen == [({**ENCRYPTED, 'device_path': '/dev/sda'}, real, True, False)]
        assert (props, info) == (ENCRYPTED, {'path': LINK, 'type': 'block'})
        assert not os.path.lexists(f'{linked}{LINK}')

    @pytest.mark.parametrize('info', [None, {}])
    def test_the_properties_name_the_link(self, linked: pathlib.Path, info: Any) -> None:
        connector = Connector()
        connector.disconnect_volume({**ENCRYPTED, 'device_path': LINK}, info)
        assert connector.seen == [({**ENCRYPTED, 'device_path': '/dev/sda'}, info, False, False)]
        assert not os.path.lexists(f'{linked}{LINK}')

    @pytest.mark.parametrize(
        ('props', 'path'),
        [
            ({'encrypted': False}, LINK),
            ({}, LINK),
            (ENCRYPTED, '/dev/sda'),
            (ENCRYPTED, ''),
            (ENCRYPTED, b'/dev/sda'),
        ],
    )
    def test_nothing_to_do(self, linked: pathlib.Path, props: Any, path: Any) -> None:
        info = {'path': path}
        connector = Connector()
        connector.disconnect_volume(props, info)
        assert connector.seen[0][0] is props
        assert connector.seen[0][1] is info
        assert os.path.lexists(f'{linked}{LINK}')

    def test_the_link_of_another_volume_with_that_name_stays(self, linked: pathlib.Path) -> None:
        """The volume has gone, and its name is another one's before the link is removed."""

        class Busy(Connector):
            @utils.connect_volume_undo_prepare_result(unlink_after=True)
            def disconnect_volume(  # type: ignore[override]
                self, connection_properties: Any, device_info: Any
            ) -> None:
                Connector('/dev/sda').connect_volume(ENCRYPTED)

        Busy().disconnect_volume(ENCRYPTED, {'path': LINK})
        assert os.path.lexists(f'{linked}{LINK}')

    def test_the_link_stays_after_an_error(self, linked: pathlib.Path) -> None:
        with pytest.raises(exception.VolumePathNotRemoved):
            Connector(fails=exception.VolumePathNotRemoved(volume_path='x')).disconnect_volume(
                ENCRYPTED, {'path': LINK}
            )
        assert os.path.lexists(f'{linked}{LINK}')

    def test_a_link_that_has_gone_is_no_error(self, root: pathlib.Path) -> None:
        assert Connector().disconnect_volume(ENCRYPTED, {'path': LINK}) == 'gone'

    def test_extend_keeps_the_link(self, linked: pathlib.Path) -> None:
        connector = Connector()
        assert connector.extend_volume({**ENCRYPTED, 'device_path': LINK}) == 5
        assert connector.seen == [{**ENCRYPTED, 'device_path': '/dev/sda'}]
        assert os.path.lexists(f'{linked}{LINK}')

    def test_any_signature(self, linked: pathlib.Path) -> None:
        props = {**ENCRYPTED, 'device_path': LINK}
        seen = Connector().odd(1, 2, connection_properties=props, x=3)
        assert seen == ((1, 2), {**props, 'device_path': '/dev/sda'}, {'x': 3})
