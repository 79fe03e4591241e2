# SPDX-License-Identifier: Apache-2.0
"""The errors: texts, the tree, what survives the way from the daemon."""

import inspect
import logging
import pathlib
import pickle
import re

from oslo_concurrency import processutils
import pytest

from os_brick import exception

KEYWORDS = {
    'InvalidParameterValue': ['err'],
    'VolumeNotDeactivated': ['name'],
    'VolumeDeviceNotFound': ['device'],
    'VolumeHasShrunk': ['device', 'size', 'before'],
    'PathNotReady': ['device', 'why'],
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
    'StorageServerError': ['server', 'request', 'why'],
    'StorageServerUnreachable': ['server', 'request', 'why'],
    'StorageServerNotTrusted': ['server', 'request', 'why'],
    'HostNotReady': ['missing', 'remedy'],
    'NotLUKS': ['device', 'why'],
    'WrongPassphrase': ['device'],
    'NotFound': [],
    'Invalid': [],
    'NoFibreChannelHostsFound': [],
    'NoFibreChannelVolumeDeviceFound': [],
    'VolumePathsNotFound': [],
    'FailedISCSITargetPortalLogin': [],
}

# Facts of a base class that the template of a subclass does not repeat.
INHERITED = {'TargetPortalsNotFound': {'target_portal'}}

OURS = [
    kind
    for kind in (getattr(exception, name) for name in exception.__all__)
    if inspect.isclass(kind) and kind.__module__ == exception.__name__
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


@pytest.mark.parametrize('kind', [kind for kind in OURS if hasattr(kind, 'facts')])
def test_facts_are_attributes_and_survive_the_way_from_the_daemon(kind: type) -> None:
    facts = {name: f'<{name}>' for name in kind.facts}
    error = kind(**facts)
    again = kind(*error.portable_args())
    for name, value in facts.items():
        assert getattr(error, name) == getattr(again, name) == value
        assert value in str(error) or name in INHERITED.get(kind.__name__, ())
    assert str(again) == str(error)
    assert again.args == error.args
    # Facts that go with a text of its own.
    told = kind(*kind('a text', **facts).portable_args())
    if kind is not exception.ExceptionChainer:
        assert (told.msg, {n: getattr(told, n) for n in facts}) == ('a text', facts)
        assert all(getattr(kind('a text'), name) is None for name in facts)


def test_what_is_sent_is_plain() -> None:
    error = exception.MultipathdPathsNotRemoved(devices={'sda'}, at=pathlib.Path('/x'), n=1)
    assert error.devices == {'sda'}
    text, facts = error.portable_args()
    assert facts == {'devices': 'sda', 'at': '/x', 'n': 1}
    assert text == str(error)


def test_a_template_names_only_facts_and_keywords_of_its_class() -> None:
    for kind in OURS:
        if issubclass(kind, exception.BrickException):
            fields = set(re.findall(r'%\((\w+)\)', kind.message + ''.join(kind.also.values())))
            assert fields == set(kind.facts) - INHERITED.get(kind.__name__, set()), kind


@pytest.mark.parametrize('kind', OURS)
def test_a_class_says_when_it_is_raised_and_what_to_do(kind: type) -> None:
    words = (vars(kind)['__doc__'] or '').split('\n\n    :')[0]
    assert words.count('.') >= 1
    assert len(words) > 50


def test_holders_of_a_mismatch_follow_in_a_sentence_of_their_own() -> None:
    facts = {'device': '/dev/sda', 'expected': 'a', 'actual': 'b'}
    error = exception.VolumeIdentityMismatch(**facts)
    assert str(error) == 'Device /dev/sda: expected a, found b.'
    assert error.holder is None
    error = exception.VolumeIdentityMismatch(**facts, holder='mount on /mnt')
    assert str(error).endswith('while it is in use by: mount on /mnt.')


def test_long_lists_and_texts_are_cut() -> None:
    error = exception.MultipathdPathsNotRemoved(devices=[f'sd{n}' for n in range(3000)])
    assert 'sd7, and 2992 more' in str(error)
    assert exception.listed(range(9)) == '0, 1, 2, 3, 4, 5, 6, 7, 8'
    assert exception.listed(range(10), '; ').endswith('7; and 2 more')
    error = exception.BrickException('x' * 600_000)
    assert len(str(error)) < 10_000
    assert 'more characters' in str(error)


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
