# SPDX-License-Identifier: Apache-2.0
"""How an error is made from a template and facts, and sent to another process with its facts."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, ClassVar

from oslo_log import log as logging

LOG = logging.getLogger(__name__)

# A list in a text: more than this does not help a reader, and 3,000 portals make a text
# of half a megabyte, which goes into logs and over RPC.
MOST_ITEMS = 8
LONGEST_TEXT = 8192

_PLAIN = str | int | float | bool | bytes | None


def listed(items: Iterable[object], separator: str = ', ') -> str:
    """Return the texts of a list for a message; of a long one the first few and how many more."""
    texts = [str(item) for item in items]
    more = len(texts) - MOST_ITEMS
    if more > 1:
        texts[MOST_ITEMS:] = [f'and {more} more']
    return separator.join(texts)


def _cut(text: str) -> str:
    if len(text) <= LONGEST_TEXT:
        return text
    return f'{text[:LONGEST_TEXT]} [... {len(text) - LONGEST_TEXT} more characters]'


def _in_words(value: object) -> object:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Collection):
        return value
    return listed(value)


class BrickException(Exception):
    """Base of the errors of this library: a template and the facts that fill it.

    Catch it to catch all of them. A ``message`` given to the constructor is used as it is. Keywords
    that do not fit the template never raise: the bare template becomes the text.

    :ivar msg: the text.
    :ivar kwargs: the facts as they were given, and ``code``.
    """

    message: ClassVar[str] = 'An unknown exception occurred.'
    code: ClassVar[int] = 500
    headers: ClassVar[dict[str, str]] = {}
    safe: ClassVar[bool] = False
    #: Names of the attributes that this class sets from its keywords.
    facts: ClassVar[tuple[str, ...]] = ()
    #: Sentences that follow the template if their keyword is given.
    also: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Collect the facts that a class declares: its annotations without a value."""
        super().__init_subclass__(**kwargs)
        own = [name for name in vars(cls).get('__annotations__', ()) if not hasattr(cls, name)]
        cls.facts = (*cls.facts, *own)

    def __init__(self, message: object = None, *sent: Mapping[str, Any], **kwargs: Any) -> None:
        given = {key: value for facts in sent for key, value in facts.items()} | kwargs
        self.kwargs: dict[str, Any] = {'code': self.code, **given}
        for name in self.facts:
            setattr(self, name, given.get(name))
        self.msg: str = _cut(str(message) if message else self._filled())
        super().__init__(self.msg)

    def __str__(self) -> str:
        # Not args: those that rebuild it in another process have its facts besides.
        return self.msg

    def _filled(self) -> str:
        words = {key: _in_words(value) for key, value in self.kwargs.items()}
        more = ''.join(text for key, text in self.also.items() if words.get(key))
        try:
            return (self.message + more) % words
        except (KeyError, TypeError, ValueError) as error:
            # The names only: a value may be a secret.
            LOG.error(
                'The text of %s cannot be made from the keywords %s: %r',
                type(self).__name__,
                ', '.join(sorted(self.kwargs)),
                error,
            )
            return self.message

    def portable_args(self) -> tuple[Any, ...]:
        """Return the arguments that rebuild this error in another process, facts included."""
        facts = {
            key: value if isinstance(value, _PLAIN) else str(_in_words(value))
            for key, value in self.kwargs.items()
            if key != 'code'
        }
        return (self.msg, facts) if facts else self.args
