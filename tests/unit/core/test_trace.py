# SPDX-License-Identifier: Apache-2.0
"""A planted secret never shows, and what is not a secret does."""

import dataclasses
import logging
import time
from typing import Any, NamedTuple

from hypothesis import given
from hypothesis import strategies as st
import pytest

from os_brick.core import clock, trace
from tests.unit import seams

SECRET = 'Pl4nted-S3cret'

SECRET_NAMES = [
    'auth_password',
    'discovery_auth_password',
    'auth_username',
    'keyring',
    'password',
    'sp_auth_token',
    'AUTH_TOKEN',
    'secret',
    'secret_uuid',
    'node.session.auth.password',
    'passphrase',
    'new-passwd',
    'credentials',
    'psk',
    'tls_psk',
    'nvmeof_tls_psk',
    'pass',
    'pwd',
    'jwt',
    'api_key',
    'access-key',
    'encryption_key',
]

names = st.sampled_from(SECRET_NAMES)
plain = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(max_size=20)
)


@dataclasses.dataclass(frozen=True, slots=True)
class Login:
    portal: Any
    password: Any
    hidden: Any = dataclasses.field(default=None, repr=False)


class Pair(NamedTuple):
    keyring: Any
    other: Any


class Odd:
    def __repr__(self) -> str:
        return f'Odd({SECRET})'


def _around(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.dictionaries(st.text(max_size=5), inner, min_size=1, max_size=3),
        st.lists(inner, min_size=1, max_size=3),
        st.tuples(inner, plain),
        st.tuples(plain, inner),
        st.builds(Login, portal=inner, password=plain),
        st.builds(ValueError, inner),
        st.builds(Pair, keyring=plain, other=inner),
    )


# What stands under the name of a secret: text, or a structure with the text in it.
hidden_content = st.recursive(
    st.sampled_from([SECRET, SECRET.encode(), f'a {SECRET} b']), _around, max_leaves=4
)

planted = st.recursive(
    st.one_of(
        st.dictionaries(names, hidden_content, min_size=1, max_size=2),
        st.tuples(names, hidden_content),
        st.tuples(names, plain, hidden_content).map(list),
        st.builds(Login, portal=plain, password=hidden_content),
        st.builds(Login, portal=plain, password=plain, hidden=hidden_content),
        st.builds(Pair, keyring=hidden_content, other=plain),
        st.builds(Odd),
        st.builds(lambda name: {name.encode(): SECRET}, names),
        # Text that someone else has made of a structure.
        st.builds(lambda name: str({'lun': 1, name: SECRET, 'encrypted': False}), names),
        st.builds(lambda name: f'login with {name} = {SECRET}, lun 1', names),
        st.builds(lambda name: f'{{"{name}": "{SECRET}"}}', names),
        st.builds(lambda name: f'{{"{name}": "{SECRET}"}}'.encode(), names),
        st.builds(lambda name: RuntimeError(f'{name}={SECRET}'), names),
    ),
    _around,
    max_leaves=6,
)


@given(planted)
def test_a_planted_secret_never_shows(value: Any) -> None:
    assert SECRET not in str(trace.masked(value))


@given(st.dictionaries(st.text('lunportaiqn', min_size=1), st.integers() | st.booleans()))
def test_what_is_no_secret_stays(value: dict[str, Any]) -> None:
    assert trace.masked(value) == value


@given(planted | plain)
def test_nothing_makes_it_fail(value: Any) -> None:
    trace.masked(value)


def test_neighbours_of_a_secret_stay() -> None:
    props = {
        'target_portal': '10.0.0.1:3260',
        'auth_method': 'CHAP',
        'auth_password': SECRET,
        'encrypted': False,
        'target_lun': 1,
        'target_luns': (1, 2),
        'hosts': ['a', 'b'],
    }
    assert trace.masked(props) == {**props, 'auth_method': '***', 'auth_password': '***'}
    assert props['auth_password'] == SECRET
    text = trace.masked(str(props))
    assert SECRET not in text
    assert "'target_lun': 1" in text


def test_an_empty_secret_shows_that_it_is_empty() -> None:
    assert trace.masked({'auth_password': None, 'keyring': ''}) == {
        'auth_password': None,
        'keyring': '',
    }


def test_a_sentence_about_a_secret_hides_nothing_after_it() -> None:
    value = ['no password was given', 'sda']
    assert trace.masked(value) == value


def test_a_structure_that_contains_itself_ends() -> None:
    loop: dict[str, Any] = {}
    loop['loop'] = loop
    assert '...' in str(trace.masked(loop))


@pytest.mark.parametrize(
    ('text', 'shown'),
    [
        ('msg: password=x y', 'msg: password=*** y'),
        ("{'keyring': b'x', 'lun': 1}", "{'keyring': b***, 'lun': 1}"),
        ('password=b4d lun=1', 'password=*** lun=1'),
        ('{"a": "{\\"password\\": \\"x y\\"}"}', '{"a": "{\\"password\\": ***}"}'),
        (
            'iscsiadm -n node.session.auth.password -v x -T t',
            'iscsiadm -n node.session.auth.password -v *** -T t',
        ),
        ('password="cut off', 'password=***'),
        ('no password was given', 'no password was given'),
    ],
)
def test_text(text: str, shown: str) -> None:
    assert trace.masked(text) == shown


@pytest.mark.parametrize(
    'piece', ['a', 'auth_', '"', 'password="\\', 'password = ', 'x.-', ' ', 'auth_ \\"', '{']
)
def test_no_text_takes_long(piece: str) -> None:
    """With a pattern that steps back, the first three take seconds to hours."""
    begun = time.process_time()
    trace.masked('password' + piece * 5000)
    trace.masked(piece * 5000)
    assert time.process_time() - begun < 0.5


# Letters that are in no escape, such as \\x1b.
@given(st.text(max_size=20), st.text(max_size=20), st.text('QWYZqwyz', min_size=4, max_size=12))
def test_what_a_server_says(before: str, after: str, secret: str) -> None:
    """It is on one line, cut, and has what was sent in no case in it."""
    shown = trace.said(f'{before}{secret}{after}{secret.upper()}', ['', secret], 30)
    assert shown.isprintable()
    # A character is a text of at most ten, such as \\U0001f600.
    assert len(shown) <= 300
    assert secret.lower() not in shown.lower()


def test_long_secrets_take_no_time() -> None:
    begun = time.process_time()
    trace.said('Unauthorized', ['x' * each for each in range(200_000, 200_010)], 30)
    assert time.process_time() - begun < 0.5


def test_the_longer_secret_is_hidden_first() -> None:
    """One may begin with another: its end would show."""
    assert trace.said('abcdef', ['abc', 'abcdef'], 99) == trace.HIDDEN


def test_long_text_is_cut() -> None:
    assert len(trace.masked('x' * 100_000)) < 5000


@pytest.fixture
def debug(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, 'os_brick.core.trace')
    return caplog


class TestOperation:
    def test_logs_begin_end_and_duration(self, debug: pytest.LogCaptureFixture) -> None:
        ticking = seams.Clock()
        with clock.use(ticking), trace.operation('connect', {'keyring': SECRET, 'lun': 1}):
            ticking.sleep(1.5)
        assert debug.messages == [
            "connect begins: {'keyring': '***', 'lun': 1}",
            'connect ended after 1.500 s',
        ]

    def test_logs_the_error_and_lets_it_go_on(self, debug: pytest.LogCaptureFixture) -> None:
        with (
            pytest.raises(ValueError, match=SECRET),
            clock.use(seams.Clock()),
            trace.operation('connect'),
        ):
            raise ValueError(f'password={SECRET}')
        assert debug.messages[-1] == 'connect failed after 0.000 s: ValueError: password=***'

    def test_is_silent_without_debug(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, 'os_brick.core.trace')
        with trace.operation('connect', Odd()):
            pass
        assert not caplog.records


@pytest.mark.parametrize(
    'text',
    [
        'mount -o username=u,pass={}',
        'mount -o user=u%{},rw //h/s',
        'GET https://admin:{}@gw:443/api',
        '[client.a]\n\tkey = {}',
    ],
)
def test_a_secret_that_has_no_property_of_its_own(text: str) -> None:
    secret = 'AQBX7r5lAAAAABAAq2xUeGSk1m0vYzVbX3kS8w=='
    assert secret not in trace.masked(text.format(secret))


@pytest.mark.parametrize(
    'text', ['compass: north', 'the key = of it', 'http://10.0.0.1:80/a@b', 'smb://user@host/share']
)
def test_what_only_looks_like_one(text: str) -> None:
    assert trace.masked(text) == text
