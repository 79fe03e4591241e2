# SPDX-License-Identifier: Apache-2.0
"""Names, parameters and defaults of os-brick 7.1.1, by which callers call."""

import inspect

import pytest

from os_brick import executor
from os_brick.local_dev import lvm

SIGNATURES = {
    '__init__': 'self, vg_name, root_helper, create_vg=False, physical_volumes=None, '
    "lvm_type='default', executor=None, lvm_conf=None, suppress_fd_warn=False",
    'activate_lv': 'self, name, is_snapshot=False, permanent=False',
    'create_lv_snapshot': "self, name, source_lv_name, lv_type='default'",
    'create_thin_pool': 'self, name=None',
    'create_volume': "self, name, size_str, lv_type='default', mirror_count=0",
    'deactivate_lv': 'self, name',
    'delete': 'self, name',
    'extend_volume': 'self, lv_name, new_size',
    'get_all_physical_volumes': 'root_helper, vg_name=None',
    'get_all_volume_groups': 'root_helper, vg_name=None',
    'get_lv_info': 'root_helper, vg_name=None, lv_name=None',
    'get_lvm_version': 'root_helper',
    'get_physical_volumes': 'self',
    'get_volume': 'self, name',
    'get_volumes': 'self, lv_name=None',
    'lv_has_snapshot': 'self, name',
    'rename_volume': 'self, lv_name, new_name',
    'revert': 'self, snapshot_name',
    'update_volume_group_info': 'self',
    'vg_mirror_free_space': 'self, mirror_count',
    'vg_mirror_size': 'self, mirror_count',
}


@pytest.mark.parametrize('name', SIGNATURES)
def test_signature(name):
    parameters = inspect.signature(getattr(lvm.LVM, name)).parameters.values()
    plain = [
        p.name if p.default is p.empty else f'{p.name}={p.default!r}'
        for p in parameters
        if p.kind is p.POSITIONAL_OR_KEYWORD
    ]
    assert ', '.join(plain) == SIGNATURES[name]


def test_nothing_else_is_public():
    ours = {name for name in vars(lvm.LVM) if not name.startswith('_')}
    assert ours == SIGNATURES.keys() - {'__init__'} | {'LVM_CMD_PREFIX'}
    assert issubclass(lvm.LVM, executor.Executor)
