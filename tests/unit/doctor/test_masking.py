# SPDX-License-Identifier: Apache-2.0
"""Secrets are taken out of texts of any form, and nothing else is."""

import time

from hypothesis import given
from hypothesis import strategies as st
import pytest

from os_brick.doctor import masking

SECRET = 'hunter2-S3cret'


def masked(texts: dict[str, str]) -> dict[str, str]:
    mask = masking.Mask(texts.values())
    return {name: mask.text(text) for name, text in texts.items()}


@pytest.mark.parametrize(
    'line',
    [
        'node.session.auth.password = {}',
        '"password": "{}"',
        "'auth_password': '{}',",
        'password={} user=a',
        'password: {}',
        '  password "{}"',
        'iscsiadm --name node.session.auth.password --value {} --op update',
        'iscsiadm -n node.session.auth.password -v {}',
        'tool --password {} run',
        'tool --password={} run',
        'mysql://user:{}@host/db',
        'netroot=iscsi:user:{}@10.0.0.1::3260::iqn',
        'qemu -object secret,id=a,data={},x=y',
        'Authorization: Bearer {}',
        'X-Auth-Token: {}',
        'dhchap_secret={}',
        'keyring = {}',
        'options: user=u,pass={}',
        'mount -o user=u%{},ro',
        'jwt={}',
        'encryption_key: {}',
    ],
)
def test_a_secret_is_hidden_where_it_stands_and_elsewhere(line: str) -> None:
    found = masked({'a': line.format(SECRET), 'b': f'he said {SECRET} aloud'})
    assert SECRET not in found['a']
    assert found['b'] == 'he said *** aloud'


@pytest.mark.parametrize(
    'line',
    [
        'node.session.auth.authmethod = CHAP',
        'node.startup = manual',
        'InitiatorName=iqn.2026-11.org.lab:init',
        'password authentication failed for iscsi',
        'defaults { no_path_retry 5 }',
        'http://10.0.0.1:8776/v3/volumes',
        'use_secret = true',
    ],
)
def test_what_is_not_secret_stays(line: str) -> None:
    other = f'{line.split(maxsplit=1)[0]} is readable: authentication, manual, true, CHAP'
    assert masked({'a': line, 'b': other})['b'] == other


@given(st.text(max_size=300), st.text(max_size=300))
def test_any_text_is_taken(first: str, second: str) -> None:
    found = masked({'a': first, 'b': second})
    assert found.keys() == {'a', 'b'}


def test_long_texts_take_no_minutes() -> None:
    hostile = {
        'a': 'password' * 60_000,
        'b': ('secret=' + 'x' * 50 + '\n') * 5_000,
        'c': '"' * 400_000,
        'd': '-----BEGIN PRIVATE KEY-----' * 10_000,
        'e': ' ' * 400_000 + '=',
    }
    begun = time.process_time()
    masked(hostile)
    assert time.process_time() - begun < 20


def test_data_keeps_its_form() -> None:
    mask = masking.Mask([f'password={SECRET}'])
    value = {'a': [f'x {SECRET}', 3, None], 'password': 'y', 'b': {'c': True}}
    assert mask.document(value) == {'a': ['x ***', 3, None], 'password': '***', 'b': {'c': True}}
