# SPDX-License-Identifier: Apache-2.0
"""What is written to the log about an operation, with every secret hidden.

Secrets are found by the name they go under, before anything becomes text: a
pattern over the text of a dictionary misses a Ceph keyring and swallows the
neighbours of a password.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
import contextlib
import dataclasses
import logging as py_logging
import re
from typing import Any

from oslo_log import log as logging
from oslo_utils import strutils

from os_brick.core import clock

LOG = logging.getLogger(__name__)

HIDDEN = '***'

_WORDS = (
    r'passw|passphrase|passwd|secret|token|keyring|credential|auth_|(?:\b|_)psk\b'
    r'|(?:private|api|access|encryption)[_-]?key|(?:\b|_)(?:pass|pwd|jwt)\b'
)

_SECRET_NAME = re.compile(_WORDS, re.IGNORECASE)

# A name with one of the words in it, as an element of a sequence: not a sentence.
_NAME = re.compile(r'[\w.-]+')

# In text that reached us as text: a name with one of the words in it, ':' or '=' (or
# iscsiadm's option), then a value with or without quotes; the closing one may have
# been cut off. The quantifiers are possessive: any text comes here, and with
# steps back some of it takes minutes.
_IN_TEXT = re.compile(
    rf"""((?<![\w.-])(?=[\w.-]*?(?:{_WORDS}))[\w.-]++[\\"']*+"""
    r"""\s*+(?:=>|[:=]|-v\s|--value[\s=])\s*+(?:[bu](?=["']))?+)"""
    r"""(\\"(?:(?!\\").)*+(?:\\")?+|"(?:[^"\\]|\\.)*+"?+|'(?:[^'\\]|\\.)*+'?+|[^\s,;}\])]++)""",
    re.IGNORECASE | re.DOTALL,
)

# Secrets without a name: a user's in a URL, that after a user of mount.cifs, a Ceph key.
_WITHOUT_NAME = re.compile(
    r'(://[^\s/:@]*+:)[^\s/@]++(?=@)'
    r'|(\buser(?:name)?=[^\s,%]*+%)[^\s,]++'
    r'|(\bkey\s*+=\s*+)[A-Za-z0-9+/]{30,}+={0,2}'
)

# Longer text is cut before the patterns see it: no one reads it in a log.
_LONGEST_TEXT = 4096

# Deeper than any connection properties; bounds a structure that contains itself.
_DEEPEST = 16


def masked(value: Any) -> Any:
    """Return ``value`` as plain data for a log, with what is secret replaced.

    Dictionaries, sequences, sets, dataclasses, named tuples and exceptions are
    looked through to any depth. Of an object of another kind only the class shows,
    because its ``repr`` may say anything.
    """
    return _masked(value, _DEEPEST)


def said(text: str, secrets: Iterable[str], longest: int) -> str:
    """Return what a server has written as an error shows it: on one line, cut, without secrets.

    A server may repeat what it was sent: the header that lets one in, a password in another case.

    :param secrets: what was sent to it and must not be shown.
    :param longest: how many characters are shown.
    """
    # One that is longer than the text cannot be in it; a pattern of 200 kB takes a second.
    possible = [each for each in secrets if 0 < len(each) <= len(text)]
    for secret in sorted(possible, key=len, reverse=True):
        text = re.sub(re.escape(secret), HIDDEN, text, flags=re.IGNORECASE)
    return one_line(str(masked(text))[:longest])


def one_line(text: str) -> str:
    """Return a text with its control characters and line breaks escaped: it forges no log line."""
    if text.isprintable():
        return text
    return ''.join(
        each if each.isprintable() else each.encode('unicode_escape').decode() for each in text
    )


def is_secret(name: object) -> bool:
    """Whether what goes under this name must not be shown."""
    text = name.decode('utf-8', 'replace') if isinstance(name, bytes) else name
    return isinstance(text, str) and bool(_SECRET_NAME.search(text))


@contextlib.contextmanager
def operation(name: str, props: Any = None) -> Iterator[None]:
    """Log at DEBUG that an operation begins, and how and after how long it ends."""
    if not LOG.isEnabledFor(py_logging.DEBUG):
        yield
        return
    begun = clock.monotonic()
    LOG.debug('%s begins: %s', name, masked(props))
    try:
        yield
    except BaseException as error:
        LOG.debug('%s failed after %.3f s: %s', name, clock.monotonic() - begun, masked(error))
        raise
    LOG.debug('%s ended after %.3f s', name, clock.monotonic() - begun)


def _masked(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth <= 0:
        return '...'
    for kind, mask in _BY_KIND:
        if isinstance(value, kind):
            return mask(value, depth - 1)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _fields(value, depth - 1)
    return f'<{type(value).__name__}>'


def _text(value: str | bytes | bytearray, _depth: int) -> str:
    text = value if isinstance(value, str) else bytes(value).decode('utf-8', 'replace')
    if len(text) > _LONGEST_TEXT:
        text = f'{text[:_LONGEST_TEXT]}...'
    named = _IN_TEXT.sub(rf'\1{HIDDEN}', text)
    unnamed = _WITHOUT_NAME.sub(lambda found: f'{found[found.lastindex or 0]}{HIDDEN}', named)
    hidden: str = strutils.mask_password(unnamed, secret=HIDDEN)
    return hidden


def _mapping(value: Mapping[Any, Any], depth: int) -> dict[Any, Any]:
    return {
        _masked(name, depth): HIDDEN if is_secret(name) and content else _masked(content, depth)
        for name, content in value.items()
    }


def _sequence(value: Sequence[Any], depth: int) -> Any:
    """Mask each item; all that comes after the name of a secret is hidden."""
    if hasattr(value, '_asdict'):
        return _mapping(value._asdict(), depth)
    items: list[Any] = []
    after_name = False
    for item in value:
        items.append(HIDDEN if after_name else _masked(item, depth))
        after_name = after_name or _is_secret_name(item)
    return tuple(items) if isinstance(value, tuple) else items


def _is_secret_name(item: object) -> bool:
    return isinstance(item, str) and bool(_NAME.fullmatch(item)) and is_secret(item)


def _set(value: Set[Any], depth: int) -> list[Any]:
    return sorted((_masked(item, depth) for item in value), key=str)


def _exception(value: BaseException, depth: int) -> str:
    """Return class and text; the arguments instead where one is a structure."""
    if all(arg is None or isinstance(arg, str | int | float) for arg in value.args):
        return f'{type(value).__name__}: {_text(str(value), depth)}'
    return f'{type(value).__name__}: {_masked(value.args, depth)}'


def _fields(value: Any, depth: int) -> dict[str, Any]:
    return {
        field.name: _masked(getattr(value, field.name, None), depth)
        if field.repr and not is_secret(field.name)
        else HIDDEN
        for field in dataclasses.fields(value)
    }


_BY_KIND: tuple[tuple[Any, Callable[[Any, int], Any]], ...] = (
    ((str, bytes, bytearray), _text),
    (Mapping, _mapping),
    (Sequence, _sequence),
    (Set, _set),
    (BaseException, _exception),
)
