# SPDX-License-Identifier: Apache-2.0
"""The table of findings: complete, and in words that an operator can look up."""

import dataclasses
import string

import pytest

from os_brick.doctor import catalogue, facts
from os_brick.doctor.rules import RULES
from tests.unit import test_messages

ENTRIES = catalogue.entries()
FIELDS = {field.name for field in dataclasses.fields(facts.Facts)}


def test_each_finding_has_a_rule_and_each_rule_a_finding() -> None:
    assert RULES.keys() == {name for name, entry in ENTRIES.items() if not entry.is_of_fleet}
    assert len(RULES) == 30
    numbers = [entry.number for entry in ENTRIES.values()]
    assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize('name', ENTRIES)
def test_a_row_is_complete(name: str) -> None:
    entry = ENTRIES[name]
    assert entry.level in catalogue.LEVELS
    assert entry.harm in catalogue.HARMS
    assert set(entry.facts) <= FIELDS
    assert entry.is_of_fleet or entry.facts
    for text in (entry.reads, entry.rule, entry.source, entry.since, entry.text, entry.repair):
        assert text.strip() == text != ''
    assert entry.why.endswith('.')
    assert entry.rule.endswith('.')


@pytest.mark.parametrize('name', ENTRIES)
def test_a_row_has_no_word_that_only_we_know(name: str) -> None:
    entry = ENTRIES[name]
    for text in (entry.text, entry.why, entry.rule):
        assert not test_messages.RETIRED_IN_PROSE.search(text), text


@pytest.mark.parametrize('name', ENTRIES)
def test_the_first_line_names_an_object(name: str) -> None:
    fields = [field for _, field, _, _ in string.Formatter().parse(ENTRIES[name].text) if field]
    fixed = {'nvme-multipath-off', 'multipathd-mute'}
    assert fields or name in fixed
