# SPDX-License-Identifier: Apache-2.0
"""Errors by their names, and in what operators paste."""

import pytest

from os_brick import exception
from os_brick.doctor import catalogue, errors

TRACEBACK = """\
Nov 26 02:11:07 c07 nova-compute[3310]: ERROR nova.virt [req-1] Traceback (most recent call last):
  File "/usr/lib/python3/dist-packages/os_brick/initiator/connectors/iscsi.py", line 201, in _attach
    raise exception.LoginRefused(target=target)
os_brick.exception.LoginRefused: Login to iqn.a at 10.0.0.1:3260 was refused: password=S3cr3t-x
During handling of the above exception, another exception occurred:
os_brick.exception.paths.FailedISCSITargetPortalLogin: No login
os_brick.exception.LoginRefused: Login to iqn.b at 10.0.0.1:3260 was refused
"""


@pytest.mark.parametrize('name', errors.classes())
def test_each_error_has_a_meaning(name: str) -> None:
    meaning = errors.meaning(name)
    assert meaning.text
    assert errors.named(meaning.code) == errors.named(name.lower()) == name
    assert errors.named(f'os_brick.exception.{name}') == name
    assert all(meaning.facts.values())


def test_the_last_error_comes_first_and_no_secret_with_it() -> None:
    found = errors.occurrences(TRACEBACK)
    assert [(each.name, each.count) for each in found] == [
        ('LoginRefused', 2),
        ('FailedISCSITargetPortalLogin', 1),
    ]
    assert 'iqn.b' in found[0].message
    assert 'S3cr3t' not in str(errors.occurrences(TRACEBACK.partition('During')[0]))


@pytest.mark.parametrize(
    'error',
    [
        exception.VolumeIdentityMismatch(device='/dev/dm-4', expected='3a', actual='3b'),
        exception.VolumePathNotRemoved(volume_path='sda'),
        exception.OperationTimedOut(what='the login', seconds=4),
    ],
)
def test_a_message_without_its_class_is_known_by_its_words(error: Exception) -> None:
    line = f'2026-11-26 02:11:07.123 3310 ERROR cinder.volume [req-1] {error}'
    assert [each.name for each in errors.occurrences(line)] == [type(error).__name__]


@pytest.mark.parametrize('text', ['', 'nothing of ours', '\x00\xff' * 100, 'ValueError: x'])
def test_a_text_without_an_error(text: str) -> None:
    assert errors.occurrences(text) == []


def test_the_catalogue_names_errors_that_there_are() -> None:
    named = {name for entry in catalogue.entries().values() for name in entry.errors}
    assert named <= set(errors.classes())
