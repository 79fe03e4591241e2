# SPDX-License-Identifier: Apache-2.0
"""The list of casadm."""

import pytest

from os_brick.model import opencas

HEADING = 'type,id,disk,status,write policy,device\n'


def test_each_core_belongs_to_the_cache_above_it() -> None:
    found = opencas.parse(
        'WARNING: Can not resolve path to core. By-id path will be shown for that core.\n'
        f'\n{HEADING}'
        'core pool,-,-,-,-,-\n'
        'core,-,/dev/sdd,Detached,-,-\n'
        '\n'
        'cache,1,/dev/nvme0n1,Running,wt,-\n'
        'core,1,/dev/sdb,Active,-,/dev/cas1-1\n'
        'core,10,"/dev/disk/by-id/a,b",Inactive,-,-\n'
        'cache,2,-,Flushing (10.0 %),wb->wt,/dev/cas-cache-2\n'
        'core,1,/dev/sdc,Flushing (10.0 %),-,/dev/cas2-1\n'
    )
    assert found == opencas.Listing(
        (opencas.Cache(1, 'Running'), opencas.Cache(2, 'Flushing (10.0 %)')),
        (
            opencas.Core(1, 1, '/dev/sdb', 'Active', '/dev/cas1-1'),
            opencas.Core(1, 10, '/dev/disk/by-id/a,b', 'Inactive', ''),
            opencas.Core(2, 1, '/dev/sdc', 'Flushing (10.0 %)', '/dev/cas2-1'),
        ),
    )
    assert found.cache(3) is None


def test_no_caches() -> None:
    assert opencas.parse('No caches running\n') == opencas.Listing()


@pytest.mark.parametrize(
    'text',
    [
        '',
        '\n',
        'Usage: casadm <command> [option...]\n',
        f'{HEADING}core,1,/dev/sdb,Active,-,/dev/cas1-1\n',
        f'{HEADING}cache,one,/dev/nvme0n1,Running,wt,-\n',
        f'{HEADING}cache,1,/dev/nvme0n1\n',
        f'{HEADING}cache,1,/dev/nvme0n1,Running,wt,-\ncore,x,/dev/sdb,Active,-,-\n',
        'type id disk status write policy device\ncache 1 /dev/nvme0n1 Running wt -\n',
    ],
)
def test_what_is_not_a_list(text: str) -> None:
    with pytest.raises(ValueError, match=r'casadm printed|invalid literal'):
        opencas.parse(text)
