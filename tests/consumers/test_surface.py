# SPDX-License-Identifier: Apache-2.0
"""What 7.1.1 offers is here, callable in the same ways, but for what a page says is left out.

The page is ``doc/source/reference/left-out.rst``, its rows are in ``left-out.csv`` beside it.
"""

import configparser
import csv
import fnmatch
import pathlib
import types

from oslo_config import cfg
import pytest

from os_brick import privileged
from tests.consumers import surface

ROOT = pathlib.Path(__file__).parents[2]
OPTIONS = surface.INVENTORY['_meta']['config_options']
POINTS = surface.INVENTORY['_meta']['entry_points']


def _left_out() -> dict[str, str]:
    with open(ROOT / 'doc' / 'source' / 'reference' / 'left-out.csv') as file:
        return dict(csv.reader(file))


LEFT_OUT = _left_out()
GAPS = dict(surface.gaps())


def _is_left_out(dotted: str) -> bool:
    return any(fnmatch.fnmatchcase(dotted, row) for row in LEFT_OUT)


@pytest.mark.parametrize('module', sorted(surface.MODULES))
def test_a_module_has_what_it_has_in_7_1_1(module: str) -> None:
    own = {name: why for name, why in GAPS.items() if _module_of(name) == module}
    assert {name: why for name, why in own.items() if not _is_left_out(name)} == {}


def _module_of(dotted: str) -> str:
    """The longest module of the inventory that a name is in."""
    return max(
        (name for name in surface.MODULES if dotted == name or dotted.startswith(f'{name}.')),
        key=len,
    )


@pytest.mark.parametrize('row', sorted(LEFT_OUT))
def test_what_the_page_says_is_left_out_is(row: str) -> None:
    found = [name for name in GAPS if fnmatch.fnmatchcase(name, row)]
    assert found, 'it is there now: take the row out'
    assert LEFT_OUT[row]


@pytest.mark.parametrize('point', POINTS['oslo.config.opts'] | POINTS['oslo.config.opts.defaults'])
def test_entry_points_of_options(point: str) -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / 'setup.cfg')
    target = POINTS['oslo.config.opts'].get(point) or POINTS['oslo.config.opts.defaults'][point]
    assert f'{point} = {target}' in ''.join(setup['entry_points'].values())


@pytest.mark.parametrize('name', sorted(OPTIONS['os_brick']))
def test_an_option_has_its_name_type_limits_and_default(name: str) -> None:
    known = OPTIONS['os_brick'][name]
    found = cfg.CONF.os_brick._group._opts[name]['opt']  # oslo.config has no public way
    assert type(found).__name__ == known['type']
    assert found.default == known['default']
    for limit in ('min', 'max'):
        assert getattr(found.type, limit, None) == known[limit]


@pytest.mark.parametrize('name', sorted(OPTIONS['privsep_osbrick']))
def test_an_option_of_the_root_context(name: str) -> None:
    """oslo.privsep registers them, below the section that configuration files have."""
    section = cfg.CONF[privileged.default.cfg_section]
    assert privileged.default.cfg_section == 'privsep_osbrick'
    assert section._group._opts[name]['opt'].dest == OPTIONS['privsep_osbrick'][name]['dest']


class _Ours:
    """Something like a class of 7.1.1 that lacks this and that."""

    KEPT = 1
    changed = 2

    def renamed(self, other: object) -> None: ...
    def narrower(self) -> None: ...
    def same(self, value: object, *more: object, **named: object) -> None: ...

    @property
    def fixed(self) -> int:
        return 1


@pytest.mark.parametrize(
    ('spec', 'gap'),
    [
        ({}, None),
        ({'mro': ['builtins.ValueError']}, 'x'),
        ({'mro': ['builtins.object']}, None),
        ({'class_attrs': {'KEPT': 1}}, None),
        ({'class_attrs': {'changed': 1}}, 'x.changed'),
        ({'class_attrs': {'gone': 1}}, 'x.gone'),
        ({'instance_attrs': ['gone']}, 'x.gone'),
        ({'special_methods': {'__enter__': '(self)'}}, 'x.__enter__'),
        ({'methods': {'same': '(self, value, *args, flag=False, **kwargs)'}}, None),
        ({'methods': {'same': '(self, *args, **kwargs)'}}, 'x.same'),
        ({'methods': {'renamed': '(self, value)'}}, 'x.renamed'),
        ({'methods': {'narrower': '(self, value=<class int>)'}}, 'x.narrower'),
        ({'methods': {'gone': '(self)'}}, 'x.gone'),
    ],
)
def test_a_difference_is_seen(spec: dict[str, object], gap: str | None) -> None:
    methods = {
        name: {'kind': 'instance', 'signature': text}
        for name, text in spec.get('methods', {}).items()  # type: ignore[attr-defined]
    }
    known = {'mro': [], 'init_signature': '(self)', **spec, 'methods': methods}
    assert [name for name, _why in surface.class_gaps('x', _Ours, known)] == ([gap] if gap else [])


@pytest.mark.parametrize(
    ('known', 'gap'),
    [
        ({'functions': {'gone': '()'}}, 'x.gone'),
        ({'functions': {'there': {'signature': '(value, *, flag)'}}}, 'x.there'),
        ({'functions': {'there': '(value)'}}, None),
        ({'constants': {'NUMBERS': {'__tuple__': [1, 2]}}}, None),
        ({'constants': {'NUMBERS': [1, 2]}}, 'x.NUMBERS'),
        ({'reexports': {'other': 'module other'}}, None),
        ({'reexports': {'Other': 'class other.Other'}}, 'x.Other'),
    ],
)
def test_a_difference_of_a_module_is_seen(known: dict[str, object], gap: str | None) -> None:
    module = types.SimpleNamespace(there=lambda value: value, NUMBERS=(1, 2))
    found = [name for name, _why in surface.module_gaps('x', module, known)]
    assert found == ([gap] if gap else [])


def test_a_property_is_held() -> None:
    wanted = {'kind': 'property', 'settable': True, 'signature': '(self)'}
    assert list(surface.method_gaps('x', _Ours, 'fixed', wanted)) == [('x', 'it cannot be set')]
    assert list(surface.method_gaps('x', _Ours, 'same', wanted)) == [('x', 'it is not a property')]


def test_the_inventory_is_whole() -> None:
    assert len(surface.MODULES) == 53
    assert sum(len(each['classes']) for each in surface.MODULES.values()) == 77
