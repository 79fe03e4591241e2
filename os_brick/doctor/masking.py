# SPDX-License-Identifier: Apache-2.0
"""Takes the secrets out of texts of any origin, before they leave the host in a bundle.

Twice over: what goes under the name of a secret, or has the form of one, is hidden where it stands;
and each value that was found so anywhere is hidden everywhere, whatever stands before it there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
import re
from typing import Any
import urllib.parse

from os_brick.core import trace

# A value that is shorter says nothing, and would be found in half of all words.
_SHORTEST = 4
_LONGEST_LINE = 4096
# What values mean by themselves, whatever their name is.
_HARMLESS = {
    *(
        'true',
        'false',
        'none',
        'null',
        'chap',
        'password',
        'secret',
        'default',
        'keystone',
        'empty',
    ),
    *('barbican', 'disabled', 'enabled', 'manual', trace.HIDDEN),
}
# The quantifiers are possessive, and a name is looked for where one begins alone: any text comes
# here, and with steps back some of it takes hours.
_NAME = (
    r'(?<![\w.\[\]-])(?=[\w.\[\]-]*?(?:passw|passphrase|passwd|secret|token|keyring|credential'
    r'|private[_-]?key|psk|dhchap|api[_-]?key|access[_-]?key|encryption[_-]?key|pwd|jwt|pass\b|\bpin\b|community))'
    r'[\w.\[\]-]++'
)
_ASSIGNED = re.compile(
    rf"""(?P<name>{_NAME}["']?)(?P<sign>\s*+(?:=>|[:=])\s*+)"""
    r"""(?P<value>"[^"\n]*"|'[^'\n]*'|[^\s,;}\])'"]+)""",
    re.IGNORECASE,
)
_OPTION_NAME = _NAME.replace(r'(?<![\w.\[\]-])', '')
# On a command line, and iscsiadm's --name NAME --value VALUE.
_OPTION = re.compile(
    rf'(?<!\S)(?P<before>--?+{_OPTION_NAME}\s++)(?P<value>[^-\s]\S*)', re.IGNORECASE
)
_WITH_VALUE = re.compile(
    rf'(?P<before>{_NAME}\s++(?:-v|--value)[\s=]++)(?P<value>\S+)', re.IGNORECASE
)
# multipath.conf: a word and its value, nothing else on the line.
_WORD = re.compile(rf'^(?P<before>\s*+{_NAME}\s++)(?P<value>"[^"]*"|\S+)\s*$', re.IGNORECASE)
# open-iscsi's own line has the whole rest as its value, blanks too.
_RECORD = re.compile(rf'^(?P<name>\s*+{_NAME})(?P<sign>\s*+=\s*+)(?P<value>\S.*+)$', re.IGNORECASE)
_FORMS = (
    _WORD,
    _OPTION,
    _WITH_VALUE,
    # user:password@host in a URL, as in transport_url and connection.
    re.compile(
        r'(?P<before>[a-z][a-z0-9+.-]*://[^/\s:@]*:)(?P<value>[^/\s@]+)(?=@)', re.IGNORECASE
    ),
    # mount.cifs: user=NAME%PASSWORD.
    re.compile(r'(?P<before>\buser(?:name)?=[^,%\s]*%)(?P<value>[^,\s]+)'),
    # NVMe: secrets of in-band authentication, and keys of TLS (NVM Express TP 8018).
    re.compile(r'(?P<before>)(?P<value>DHHC-1:[^\s,"\']+)'),
    re.compile(r'(?P<before>)(?P<value>NVMeTLSkey-1:[^\s,"\']+)'),
    # Ceph: 16 bytes after a header of 12, in base64.
    re.compile(r'(?P<before>)(?P<value>\bAQ[A-Za-z0-9+/]{36}==)'),
    re.compile(r'(?P<before>\b(?:Bearer|Basic)\s+)(?P<value>[A-Za-z0-9+/=._~-]{8,})'),
    re.compile(r'(?P<before>\bX-[A-Za-z-]*Token\s*:\s*)(?P<value>\S+)', re.IGNORECASE),
    # qemu: -object secret,id=...,data=...; the kernel: netroot=iscsi:user:password@...
    re.compile(r'(?P<before>\bdata=)(?P<value>[^,\s]+)'),
    re.compile(r'(?P<before>\biscsi:[^:\s@]*:)(?P<value>[^@\s]+)(?=@)'),
)
_KEY = r'[A-Z ]*PRIVATE KEY-----'
_KEY_BLOCK = re.compile(rf'-----BEGIN {_KEY}.*?(?:-----END {_KEY}|\Z)', re.DOTALL)


class Mask:
    """What is hidden, once all texts are known."""

    def __init__(self, texts: Iterable[str]) -> None:
        secrets = {value for text in texts for value in _values(text)}
        spelled = {each for value in secrets for each in _spellings(value)}
        # The longest first: one may be part of another.
        pattern = '|'.join(map(re.escape, sorted(spelled, key=len, reverse=True)))
        self._known = re.compile(pattern, re.IGNORECASE) if spelled else None

    def text(self, text: str) -> str:
        """A text without the secrets that are in any of the texts."""
        text = _KEY_BLOCK.sub(trace.HIDDEN, text)
        if self._known is not None:
            text = self._known.sub(trace.HIDDEN, text)
        return '\n'.join(_line(line) for line in text.split('\n'))

    def document(self, value: Any) -> Any:
        """The same of each text in plain data, whose form stays."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {
                name: trace.HIDDEN if trace.is_secret(name) and each else self.document(each)
                for name, each in value.items()
            }
        return [self.document(each) for each in value] if isinstance(value, list) else value


def _line(line: str) -> str:
    if len(line) > _LONGEST_LINE:
        line = f'{line[:_LONGEST_LINE]} [cut]'
    line = _RECORD.sub(rf'\g<name>\g<sign>{trace.HIDDEN}', line)
    for form in _FORMS:
        line = form.sub(rf'\g<before>{trace.HIDDEN}', line)
    return str(trace.masked(line))


def _values(text: str) -> Iterator[str]:
    """The values of secrets that stand in a text."""
    for match in _KEY_BLOCK.finditer(text):
        yield from filter(_tells, (line.strip() for line in match[0].split('\n')[1:-1]))
    for line in text.split('\n'):
        for match in _matches(line):
            value = match['value'].strip('"\'\\ ')
            if _tells(value):
                yield value


def _matches(line: str) -> Iterable[re.Match[str]]:
    short = line[:_LONGEST_LINE]
    yield from filter(None, [_RECORD.match(short)])
    for form in (_ASSIGNED, *_FORMS):
        yield from form.finditer(short)


def _tells(value: str) -> bool:
    """Whether a value is one that is worth hiding, and does not hide half of the text."""
    return len(value) >= _SHORTEST and value.lower() not in _HARMLESS and not value.startswith('/')


def _spellings(value: str) -> Iterator[str]:
    """A value as it may stand elsewhere: in a URL, in JSON, with its line broken off."""
    yield value
    yield urllib.parse.quote(value, safe='')
    yield urllib.parse.quote_plus(value)
    yield value.replace('\\', '\\\\').replace('"', '\\"')
