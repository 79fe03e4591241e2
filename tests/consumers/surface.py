# SPDX-License-Identifier: Apache-2.0
"""What os-brick 7.1.1 offers, from its inventory, and what of it is not here or is different.

``api-inventory.json`` lists each public module, class, method, signature and constant of 7.1.1.
"""

import ast
from collections.abc import Iterator, Mapping
import importlib
import inspect
import json
import pathlib
import re
from typing import Any

HERE = pathlib.Path(__file__).parent
INVENTORY = json.loads((HERE / 'api-inventory.json').read_text())
MODULES: Mapping[str, Any] = INVENTORY['modules']

# What depends on the machine or on its packages; a name alone can be compared.
VARYING = {
    text.split()[0].removeprefix('config_options.')
    for text in INVENTORY['_meta']['environment_dependent']
}
Gap = tuple[str, str]
ANY = object()
MISSING = object()


def gaps() -> Iterator[Gap]:
    """Each name that is missing or different, with what is wrong."""
    for name, known in MODULES.items():
        try:
            module = importlib.import_module(name)
        except ImportError:
            yield name, 'there is no such module'
            continue
        yield from module_gaps(name, module, known)


def module_gaps(name: str, module: Any, known: Mapping[str, Any]) -> Iterator[Gap]:
    """What is missing in a module or different."""
    for kind in ('functions', 'classes', 'constants', 'objects', 'reexports'):
        for member, spec in known.get(kind, {}).items():
            if kind == 'reexports' and spec.startswith('module '):
                continue  # another module that one finds in this one, since it was imported
            dotted = f'{name}.{member}'
            if not hasattr(module, member):
                yield dotted, 'there is no such name'
                continue
            found = getattr(module, member)
            if kind == 'functions':
                yield from call_gaps(dotted, found, _signature(spec))
            elif kind == 'classes':
                yield from class_gaps(dotted, found, spec)
            elif kind == 'constants':
                yield from value_gaps(dotted, found, spec)


def class_gaps(dotted: str, found: Any, spec: Mapping[str, Any]) -> Iterator[Gap]:
    """What is missing in a class or different: bases, constructor, members, words of a message."""
    for base in spec['mro']:
        if not issubclass(found, _resolved(base)):
            yield dotted, f'it is not a {base}'
    if 'typed_dict_keys' not in spec:
        yield from call_gaps(dotted, found.__init__, spec['init_signature'])
    for member, value in spec.get('class_attrs', {}).items():
        yield from value_gaps(f'{dotted}.{member}', getattr(found, member, MISSING), value)
    for member, method in spec['methods'].items():
        yield from method_gaps(f'{dotted}.{member}', found, member, method)
    for member in {*spec.get('special_methods', ()), *spec.get('instance_attrs', ())}:
        if not _has_instances_with(found, member):
            yield f'{dotted}.{member}', 'its instances have no such attribute'
    yield from text_gaps(dotted, found, spec.get('message_keywords', []))


def text_gaps(dotted: str, error: Any, words: list[str]) -> Iterator[Gap]:
    """Whether an error's text leaves out what it is given."""
    if not words or '__init__' in vars(error):  # One of its own is not given the words.
        return
    text = str(error(**{word: f'<{word}>' for word in words}))
    for word in words:
        if f'<{word}>' not in text:
            yield dotted, f'its text leaves {word} out'


def method_gaps(dotted: str, owner: type, member: str, spec: Mapping[str, Any]) -> Iterator[Gap]:
    """What is different of a method or property."""
    try:
        static = inspect.getattr_static(owner, member)
    except AttributeError:
        yield dotted, 'there is no such method'
        return
    if spec['kind'] == 'property':
        if not isinstance(static, property):
            yield dotted, 'it is not a property'
        elif spec['settable'] and static.fset is None:
            yield dotted, 'it cannot be set'
        return
    signature = spec['signature']
    if spec['kind'] == 'class' or signature.startswith('(:'):
        signature = re.sub(r'^\((?:cls)?(?::[^,)]*)?(?:, )?', '(', signature)
    yield from call_gaps(dotted, getattr(owner, member), signature)


def call_gaps(dotted: str, found: Any, signature: str) -> Iterator[Gap]:
    """Whether what 7.1.1 can be called with is refused."""
    ours = inspect.signature(found)
    for words, named in _calls(signature):
        try:
            ours.bind(*words, **named)
        except TypeError as error:
            yield dotted, f'{signature} is called as {ours}: {error}'
            return


def _calls(signature: str) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """Arguments to try: all and only the required ones, by position and by name; more of them."""
    text = re.sub(r'<[^<>]*>', 'None', signature)
    arguments = ast.parse(f'def f{text}: ...').body[0].args  # type: ignore[attr-defined]
    fixed = [each.arg for each in arguments.posonlyargs]
    names = [each.arg for each in arguments.posonlyargs + arguments.args]
    required = names[: len(names) - len(arguments.defaults)]
    if names[:1] == ['self']:
        fixed = names[:1]
    only = {each.arg: ANY for each in arguments.kwonlyargs}
    for some in (names, required):
        yield (ANY,) * len(some), dict(only)
        by_name = {name: ANY for name in some if name not in fixed}
        yield (ANY,) * (len(some) - len(by_name)), {**by_name, **only}
    if arguments.vararg:
        yield (ANY,) * (len(names) + 2), dict(only)
    if arguments.kwarg:
        yield (ANY,) * len(names), {**only, 'a_keyword_that_nothing_knows': ANY}


def value_gaps(dotted: str, found: Any, known: Any) -> Iterator[Gap]:
    """Whether a value is another than in 7.1.1."""
    if dotted in VARYING:
        return
    if found is MISSING:
        yield dotted, 'there is no such attribute'
    elif _plain(found) != _decoded(known):
        yield dotted, f'{found!r} instead of {_decoded(known)!r}'


def _plain(value: Any) -> Any:
    return ('regex', value.pattern) if isinstance(value, re.Pattern) else value


def _decoded(value: Any) -> Any:
    """A value of the inventory, which is JSON, as Python has it."""
    match value:
        case {'__tuple__': items}:
            return tuple(_decoded(item) for item in items)
        case {'__regex__': pattern}:
            return ('regex', pattern)
        case dict():
            return {key: _decoded(item) for key, item in value.items()}
        case list():
            return [_decoded(item) for item in value]
        case _:
            return value


def _signature(spec: str | Mapping[str, str]) -> str:
    return spec if isinstance(spec, str) else spec['signature']


def _has_instances_with(owner: type, member: str) -> bool:
    """Whether the class has it, declares it or assigns to it."""
    if hasattr(owner, member) or (issubclass(owner, Exception) and hasattr(owner(), member)):
        return True
    ours = [base for base in owner.__mro__ if base.__module__.startswith('os_brick')]
    return any(
        member in inspect.get_annotations(base)
        or re.search(rf'\bself\.{member}\b[^=\n(]*=[^=]', _source(base))
        for base in ours
    )


def _source(owner: type) -> str:
    try:
        return inspect.getsource(owner)
    except OSError:  # made by a call of type()
        return ''


def _resolved(dotted: str) -> Any:
    owner, _dot, name = dotted.rpartition('.')
    return getattr(importlib.import_module(owner), name)
