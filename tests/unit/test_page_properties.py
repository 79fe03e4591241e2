# SPDX-License-Identifier: Apache-2.0
"""Keys of connection properties: the types, the tables on the pages, and what is read are one."""

import ast
import inspect
import re

import pytest

from os_brick.initiator import properties
from tests import pages

REFERENCE = (pages.DOC / 'reference' / 'connection-properties.rst').read_text()
# A section of the page, its type, and the modules that read the properties.
KINDS = {
    'Every protocol': (properties.Common, []),
    'iSCSI and iSER': (properties.ISCSI, ['request/iscsi']),
    'Fibre Channel': (properties.FibreChannel, ['request/fibre_channel']),
    'NVMe over Fabrics': (properties.NVMeOF, ['request/nvmeof']),
    'LightOS': (properties.LightOS, ['request/lightos']),
    'StorPool': (properties.StorPool, ['request/storpool']),
    'PowerFlex': (properties.ScaleIO, ['request/scaleio']),
    'RBD': (properties.RBD, ['request/rbd']),
    'VMware': (properties.VMDK, ['request/vmware']),
    'Remote file systems': (properties.RemoteFS, ['request/remotefs']),
    'Huawei': (properties.Huawei, ['initiator/connectors/huawei']),
    'Local volumes and GPFS': (properties.Local, ['initiator/connectors/local']),
}
# Of entries in the dictionaries, of which the tables say what is in them.
INSIDE = {
    'LightOS': {*properties.LightOSNode.__optional_keys__},
    'VMware': set(re.findall(r'``(vmware_\w+)``', REFERENCE)),
}
NOT_USED = {'hostIP'}
OF_THE_RESULT = {'multipath_id', 'path', 'conf'}
READS = ('get', 'value', 'flag', 'items', 'wwid', 'parsed', 'pop', 'text')


def _section(title: str) -> str:
    found = re.split(r'^(.+)\n-{3,}\n', REFERENCE, flags=re.MULTILINE)
    text = dict(zip(found[1::2], found[2::2], strict=True))[title]
    if title == 'NVMe over Fabrics':
        text += (pages.USER / 'nvmeof.rst').read_text().partition('\nAttach\n')[0]
    return text


def _told(title: str) -> set[str]:
    """The keys in the first column of a section's tables, and those that its sentences name."""
    return set(re.findall(r'``([A-Za-z]\w+)``', _section(title)))


def _first_column(title: str) -> set[str]:
    cells = [line[:34].rstrip() for line in _section(title).splitlines() if line.startswith('``')]
    rows = [cell for cell in cells if cell.endswith(('``', '``,', ' or'))]
    return {key for row in rows for key in re.findall(r'``(\w+)``', row)}


def _read(module: str) -> set[str]:
    """The keys that a module reads by name: ``raw.get('x')``, ``value(raw, 'x')``, ``raw['x']``."""
    found = set()
    for node in ast.walk(ast.parse((pages.ROOT / 'os_brick' / f'{module}.py').read_text())):
        texts: list[ast.expr] = []
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition('.')[2] in READS:
            texts = node.args
        elif isinstance(node, ast.Subscript) and ast.unparse(node.value) in {'raw', 'found'}:
            texts = [node.slice]
        found |= {each.value for each in texts if isinstance(each, ast.Constant)}
    return {key for key in found if isinstance(key, str) and re.fullmatch(r'[A-Za-z]\w+', key)}


@pytest.mark.parametrize('title', KINDS)
def test_every_key_of_the_type_is_told(title: str) -> None:
    """Those of several protocols where they are told first."""
    kind, _modules = KINDS[title]
    told = _told('Every protocol') | (
        _told('iSCSI and iSER') if kind is properties.FibreChannel else set()
    )
    assert set(inspect.get_annotations(kind)) <= told | _told(title)


@pytest.mark.parametrize('title', KINDS)
def test_every_key_of_the_table_is_in_the_type(title: str) -> None:
    kind, _modules = KINDS[title]
    keys = kind.__optional_keys__ | kind.__required_keys__ | INSIDE.get(title, set())
    assert _first_column(title) - NOT_USED <= keys


@pytest.mark.parametrize('title', KINDS)
def test_every_key_that_is_read_is_in_the_type(title: str) -> None:
    kind, modules = KINDS[title]
    keys = kind.__optional_keys__ | kind.__required_keys__ | INSIDE.get(title, set())
    read = {key for module in modules for key in _read(module)}
    assert read - OF_THE_RESULT <= keys
