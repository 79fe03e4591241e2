# SPDX-License-Identifier: Apache-2.0
"""The errors: texts, the tree, what survives the way from the daemon."""

import inspect
import logging
import pickle

from oslo_concurrency import processutils
import pytest

from os_brick import exception

KEYWORDS = {
    'InvalidParameterValue': ['err'],
    'VolumeNotDeactivated': ['name'],
    'VolumeDeviceNotFound': ['device'],
    'VolumePathNotRemoved': ['volume_path'],
    'ProtocolNotSupported': ['protocol'],
    'TargetPortalNotFound': ['target_portal'],
    'TargetPortalsNotFound': ['target_portals'],
    'BlockDeviceReadOnly': ['device'],
    'VolumeGroupNotFound': ['vg_name'],
    'VolumeGroupCreationFailed': ['vg_name'],
    'CommandExecutionFailed': ['cmd'],
    'VolumeDriverException': ['name'],
    'InvalidIOHandleObject': ['protocol', 'actual_type'],
    'VolumeEncryptionNotSupported': ['volume_type', 'volume_id'],
    'VolumeLocalCacheNotSupported': ['volume_type', 'volume_id'],
    'MultipathdPathsNotRemoved': ['devices'],
    'OperationTimedOut': ['what', 'seconds'],
    'VolumeIdentityMismatch': ['device', 'expected', 'actual'],
    'VolumeInUse': ['device', 'holder'],
    'LoginRefused': ['portal', 'target', 'reason'],
    'NotFound': [],
    'Invalid': [],
    'NoFibreChannelHostsFound': [],
    'NoFibreChannelVolumeDeviceFound': [],
    'VolumePathsNotFound': [],
    'FailedISCSITargetPortalLogin': [],
}

OURS = [
    kind
    for _name, kind in inspect.getmembers(exception, inspect.isclass)
    if kind.__module__ == exception.__name__
]


@pytest.mark.parametrize('name', KEYWORDS)
def test_each_keyword_is_in_the_text(name: str, caplog: pytest.LogCaptureFixture) -> None:
    kind = getattr(exception, name)
    error = kind(**{keyword: f'<{keyword}>' for keyword in KEYWORDS[name]})
    for keyword in KEYWORDS[name]:
        assert f'<{keyword}>' in str(error)
    assert '%(' not in str(error)
    assert error.args == (str(error),)
    assert error.msg == str(error)
    assert not caplog.records


def test_every_class_of_the_module_is_in_the_table_or_tested_apart() -> None:
    apart = {
        'BrickException',
        'ExceptionChainer',
        'ExecutionTimeout',
        'InvalidConnectorProtocol',
    }
    assert {kind.__name__ for kind in OURS} == apart | set(KEYWORDS)


@pytest.mark.parametrize('kind', OURS)
def test_the_tree_at_the_top_names_every_class(kind: type) -> None:
    assert kind.__name__ in (exception.__doc__ or '')


@pytest.mark.parametrize(
    ('kind', 'base'),
    [
        (exception.TargetPortalsNotFound, exception.TargetPortalNotFound),
        (exception.LoginRefused, exception.FailedISCSITargetPortalLogin),
        (exception.InvalidParameterValue, exception.Invalid),
        (exception.VolumeEncryptionNotSupported, exception.Invalid),
        (exception.VolumeLocalCacheNotSupported, exception.Invalid),
        (exception.InvalidConnectorProtocol, ValueError),
        (exception.ExecutionTimeout, processutils.ProcessExecutionError),
        (exception.ExceptionChainer, exception.BrickException),
    ],
)
def test_bases(kind: type, base: type) -> None:
    assert issubclass(kind, base)


def test_an_unknown_protocol_is_no_brick_exception() -> None:
    assert not issubclass(exception.InvalidConnectorProtocol, exception.BrickException)


def test_codes() -> None:
    assert exception.BrickException.code == 500
    assert exception.BrickException.headers == {}
    assert exception.BrickException.safe is False
    assert (exception.NotFound.code, exception.NotFound.safe) == (404, True)
    assert exception.VolumeEncryptionNotSupported.code == 400


def test_a_given_text_is_used_as_it_is() -> None:
    error = exception.VolumeDeviceNotFound('100% gone', device='/dev/sda')
    assert str(error) == '100% gone'
    assert error.kwargs == {'device': '/dev/sda', 'code': 500}


def test_code_as_keyword_stays_in_kwargs() -> None:
    error = exception.BrickException(code=418)
    assert error.kwargs['code'] == 418
    assert error.code == 500


def test_wrong_keywords_never_raise_and_no_value_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    error = exception.VolumeDeviceNotFound(auth_password='s3cret')
    assert str(error) == exception.VolumeDeviceNotFound.message
    assert 'auth_password' in caplog.text
    assert 's3cret' not in caplog.text


@pytest.mark.parametrize('name', KEYWORDS)
def test_the_text_survives_being_rebuilt_from_args(name: str) -> None:
    kind = getattr(exception, name)
    error = kind(**dict.fromkeys(KEYWORDS[name], 'x'))
    assert str(kind(*error.args)) == str(error)
    assert pickle.loads(pickle.dumps(error)).kwargs == error.kwargs


def test_execution_timeout_is_rebuilt_from_args() -> None:
    error = exception.ExecutionTimeout(stdout='o', stderr='e', cmd='c', description='d')
    again = exception.ExecutionTimeout(*error.args)
    assert (again.stdout, again.stderr, again.cmd, again.description) == ('o', 'e', 'c', 'd')


class TestExceptionChainer:
    def test_is_false_and_empty_at_first(self) -> None:
        chain = exception.ExceptionChainer()
        assert not chain
        assert not chain.__nonzero__()
        assert str(chain) == ''

    def test_swallows_logs_and_keeps(self, caplog: pytest.LogCaptureFixture) -> None:
        chain = exception.ExceptionChainer()
        with chain.context(True, 'Removing %s failed', 'sda'):
            raise ValueError('first')
        with chain.context(True):
            raise KeyError('second')
        assert chain
        assert caplog.messages == ['Removing sda failed']
        assert caplog.records[0].levelno == logging.WARNING
        assert 'ValueError: first' in str(chain)
        assert "KeyError: 'second'" in str(chain)
        assert str(chain).index('first') < str(chain).index('second')
        assert repr(chain) == str(chain)
        assert isinstance(chain.__cause__, ValueError)

    def test_each_traceback_has_a_numbered_heading_and_a_tab(self) -> None:
        chain = exception.ExceptionChainer()
        for text in ('one', 'two'):
            with chain.context(True):
                raise ValueError(text)
        lines = str(chain).splitlines()
        headings = [line for line in lines if not line.startswith('\t')]
        assert [heading[-1] for heading in headings] == ['1', '2']
        assert '\tValueError: two' in lines

    def test_raises_and_keeps(self) -> None:
        chain = exception.ExceptionChainer()
        with pytest.raises(ValueError, match='first'), chain.context(False, 'msg'):
            raise ValueError('first')
        assert chain

    def test_interrupts_pass(self) -> None:
        chain = exception.ExceptionChainer()
        with pytest.raises(KeyboardInterrupt), chain.context(True):
            raise KeyboardInterrupt
        assert not chain

    def test_nested_contexts_keep_their_settings(self) -> None:
        chain = exception.ExceptionChainer()
        with chain.context(True, 'outer'):
            with chain.context(False, 'inner'):
                pass
            raise ValueError('swallowed by the outer one')
        assert chain

    def test_used_without_a_context_lets_the_error_go_on(self) -> None:
        chain = exception.ExceptionChainer()
        with pytest.raises(ValueError, match='x'), chain:
            raise ValueError('x')
        assert chain

    def test_survives_being_rebuilt_from_args(self) -> None:
        chain = exception.ExceptionChainer()
        with chain.context(True):
            raise ValueError('first')
        for again in (
            exception.ExceptionChainer(*chain.args),
            pickle.loads(pickle.dumps(chain)),
        ):
            assert again
            assert str(again) == str(chain)
            with again.context(True):
                raise ValueError('later')
            assert 'first' in str(again)
            assert 'later' in str(again)

    def test_an_empty_one_stays_empty_when_rebuilt(self) -> None:
        assert not exception.ExceptionChainer(*exception.ExceptionChainer().args)
        assert not exception.ExceptionChainer('a text')
