# SPDX-License-Identifier: Apache-2.0
"""open-iscsi's records: broken ones, an operator's own, and what its programs link to them."""

from collections.abc import Iterator
import os
import pathlib

import pytest

from os_brick.privileged import block, scsi
from tests.functional import lab, support

HOMES = (pathlib.Path('/var/lib/iscsi'), pathlib.Path('/etc/iscsi'))


def contents() -> dict[str, bytes | str]:
    """Every record of the host: the bytes of files, where links lead."""
    found: dict[str, bytes | str] = {}
    for line in lab.oracle.records():
        found[line] = os.readlink(line) if os.path.islink(line) else pathlib.Path(line).read_bytes()
    return found


@pytest.fixture
def portal(shelf) -> Iterator[tuple[lab.lio.Target, str]]:
    """A target with a volume at LUN 1, and a portal of it."""
    target = shelf.target('records', 1)
    target.map(1, support.stamped(shelf, 'records'))
    yield target, target.portals[0]
    base = ('iscsiadm', '-m', 'node', '-T', target.iqn)
    lab.shell.run(*base, '--op', 'delete', check=False)
    for home in HOMES:
        lab.shell.run('find', f'{home}/nodes/{target.iqn}', '-delete', check=False)


def node(target: lab.lio.Target, portal: str, *words: str) -> str:
    return lab.shell.run('iscsiadm', '-m', 'node', '-T', target.iqn, '-p', portal, *words)


def record_of(target: lab.lio.Target) -> pathlib.Path:
    (found,) = (path for path in lab.oracle.records() if f'/nodes/{target.iqn}/' in path)
    return pathlib.Path(found)


def cut(text: str) -> str:
    return text[: len(text) // 3]


BREAK = {
    'empty': lambda text: '',
    'cut off': cut,
    'commented out': lambda text: text.replace('node.', '#node.'),
    'NULs': lambda text: '\0' * len(text),
}


@pytest.mark.parametrize('tagged', [False, True], ids=['static', 'of a discovery'])
@pytest.mark.parametrize('how', BREAK)
def test_broken_record(portal, single, how, *, tagged):
    """A record that is empty or cut off (crash, full disk) stops no attach at its portal."""
    target, address = portal
    before = contents()
    if tagged:
        lab.shell.run('iscsiadm', '-m', 'discovery', '-t', 'st', '-p', address)
    else:
        node(target, address, '--op', 'new')
    record = record_of(target)
    record.write_text(BREAK[how](record.read_text()))
    props = target.properties(1)
    with support.Stopwatch() as watch:
        info = single.connect_volume(props)
    assert watch.seconds < 20
    single.disconnect_volume(props, info)
    left = {path for path in contents() if target.iqn in path}
    # The discovery's own record, which an operator has made, is none of ours.
    assert left == set()
    if tagged:
        lab.shell.run(
            'iscsiadm', '-m', 'discoverydb', '-t', 'st', '-p', address, '-o', 'delete', check=False
        )
    assert contents() == before


@pytest.mark.parametrize('tagged', [False, True], ids=['static', 'of a discovery'])
def test_operators_record_is_as_it_was(portal, multi, *, tagged):
    """Start-up, scan mode and credentials of an operator's own record, byte for byte, after an
    attach with other credentials, and with it open-iscsi's links to it."""
    target, address = portal
    clean = contents()
    if tagged:
        lab.shell.run('iscsiadm', '-m', 'discovery', '-t', 'st', '-p', address)
    else:
        node(target, address, '--op', 'new')
    settings = {
        'node.startup': 'automatic',
        'node.session.auth.authmethod': 'CHAP',
        'node.session.auth.username': 'operator',
        'node.session.auth.password': 'operators-own-1',
    }
    for name, value in settings.items():
        node(target, address, '--op', 'update', '-n', name, '-v', value)
    before = contents()
    assert before != clean
    target.chap('volume', 'volumes-secret-1')
    auth = {
        'auth_method': 'CHAP',
        'auth_username': 'volume',
        'auth_password': 'volumes-secret-1',
    }
    props = target.properties(1, **auth)
    info = multi.connect_volume(props)
    assert multi.connect_volume(props) == info
    assert contents() != before
    multi.disconnect_volume(props, info)
    assert contents() == before
    node(target, address, '--op', 'delete')
    if tagged:
        lab.shell.run('iscsiadm', '-m', 'discoverydb', '-t', 'st', '-p', address, '-o', 'delete')


def test_operators_credentials_of_discoveries(portal, shelf, multi):
    """The record of discoveries at a portal, byte for byte, after an attach that used another."""
    target, address = portal
    base = ('iscsiadm', '-m', 'discoverydb', '-t', 'st', '-p', address)
    lab.shell.run(*base, '--op', 'new')
    name = 'discovery.sendtargets.auth.'
    for key, value in (('authmethod', 'CHAP'), ('username', 'op'), ('password', 'operators-own')):
        lab.shell.run(*base, '--op', 'update', '-n', f'{name}{key}', '-v', value)
    before = contents()
    lab.lio.discovery_chap('finder', 'finders-secret')
    try:
        props = target.properties(
            1,
            discovery_auth_method='CHAP',
            discovery_auth_username='finder',
            discovery_auth_password='finders-secret',
        )
        info = multi.connect_volume(props)
        found = {path: text for path, text in contents().items() if path in before}
        assert found == before
        multi.disconnect_volume(props, info)
        assert contents() == before
    finally:
        lab.lio.discovery_chap()
        lab.shell.run(*base, '--op', 'delete', check=False)


def test_link_of_a_static_record_does_not_dangle(portal, single):
    """open-iscsi makes one where the record's directory was there, and leaves it (report 19)."""
    target, address = portal
    before = contents()
    host, _, port = address.rpartition(':')
    place = HOMES[0] / 'nodes' / target.iqn / f'{host},{port},1'
    place.mkdir(parents=True)
    props = target.properties(1)
    single.disconnect_volume(props, single.connect_volume(props))
    assert contents() == before
    assert not place.exists()


def test_root_refuses_the_systems_own_disk(shelf, library, multipathd):
    """Whatever the unprivileged side asks for."""
    multipathd(find_multipaths='strict')  # No map over the one local disk.
    own = next(
        path for path in pathlib.Path('/sys/block').iterdir() if path.name.startswith(('vd', 'ram'))
    )
    with pytest.raises(OSError, match='null'):
        block.read_start('null', 5.0)
    with pytest.raises(OSError, match='kmsg'):
        block.is_claimed('kmsg', 5.0)
    assert block.is_claimed(own.name, 5.0) in (True, False)
    local = lab.shell.run('modprobe', 'scsi_debug', 'add_host=1', 'dev_size_mb=8', check=False)
    assert local is not None
    lab.shell.settle()
    try:
        disks = pathlib.Path('/sys/bus/pseudo/drivers/scsi_debug').glob(
            'adapter*/host*/target*/*/block/*'
        )
        disk = next(disks)
        number = (disk / 'device').stat().st_ino
        for act in (
            lambda: scsi.delete(disk.name, number, 5.0),
            lambda: scsi.rescan(disk.name, 5.0),
        ):
            with pytest.raises(PermissionError):
                act()
        assert disk.exists()
    finally:
        lab.shell.run('modprobe', '-r', 'scsi_debug', check=False)
