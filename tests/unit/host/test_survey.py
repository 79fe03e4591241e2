# SPDX-License-Identifier: Apache-2.0
"""What a survey finds of a SCSI volume: hosts, and the facts that a plan is made of."""

from collections.abc import Iterator
import dataclasses
import pathlib

import pytest

from os_brick.host import scsi, survey
from os_brick.plans import choice as plans
from tests.unit.fakehost import array
from tests.unit.fakehost import host as fake_host

Host = fake_host.Host


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[Host]:
    """sda and sdb are one volume behind two ports, sdc is another one; no map is over them."""
    with Host(tmp_path) as found:
        for unit, portals in (('gold', 2), ('silver', 1)):
            target = found.target(unit, portals=portals)
            target.luns[1] = array.Unit(unit)
            for portal in target.portals:
                found.find_lun(found.log_in(target, portal), 1)
        found.settle()
        assert [disk.unit.name for disk in found.disks.values()] == ['gold', 'gold', 'silver']
        yield found


def addresses(host: Host, names: str) -> tuple[scsi.Address, ...]:
    """Addresses of disks; of ``-`` one at which there is none."""
    none = scsi.Address(9, 0, 0, 1)
    return tuple(scsi.address_of(name) or none for name in names.split())


def look(
    host: Host,
    named: str,
    elsewhere: str = '',
    *,
    wwid: str = '',
    kept: str = '',
    likely: str = '',
    link: bool = False,
    with_users: bool = True,
) -> plans.Found:
    places = survey.Places(
        addresses(host, named), addresses(host, elsewhere), addresses(host, likely).__contains__
    )
    wwid = {'gold': wwid_of(host, 'sda'), 'silver': wwid_of(host, 'sdc')}.get(wwid, wwid)
    wanted = plans.Wanted('the volume', wwid=wwid, may_have_link=link)
    return survey.volume(places, wanted, kept or None, with_users=with_users)


def wwid_of(host: Host, name: str) -> str:
    return host.disks[name].unit.wwid if name in host.disks else ''


def names(found: plans.Found) -> tuple[str, str]:
    """Disks, with a star after those on the paths of the properties, and maps."""
    disks = [f'{disk.name}{"*" if disk.is_named else ""}' for disk in found.disks]
    return ' '.join(disks), ' '.join(each.name for each in found.maps)


DISKS = [
    # On its paths, elsewhere, what else is passed; and what is found.
    ('', '', {}, ''),
    ('-', '- -', {'wwid': 'gold'}, ''),
    ('sda', '', {}, 'sda*'),
    ('sda sda', '', {}, 'sda*'),
    ('sda sdb', 'sda sdb', {}, 'sda* sdb*'),
    ('sda', 'sdb sdc', {}, 'sda* sdb'),
    ('sda sdc', 'sdb', {}, 'sda* sdc*'),
    ('sdc', 'sda sdb', {'wwid': 'gold'}, 'sdc* sda sdb'),
    ('-', 'sda sdb sdc', {}, ''),
    ('-', 'sda sdb sdc', {'wwid': 'silver'}, 'sdc'),
    # A name that the caller has kept counts only where the same properties may have led to it.
    ('-', 'sda sdc', {'kept': '/dev/sdc'}, ''),
    ('-', 'sda sdc', {'kept': '/dev/sdc', 'likely': 'sdc'}, 'sdc'),
    ('-', 'sda sdc', {'kept': '/dev/sda', 'likely': 'sdc'}, ''),
    ('sda', 'sdc', {'kept': '/dev/sdc', 'likely': 'sdc'}, 'sda*'),
]


@pytest.mark.parametrize(('named', 'elsewhere', 'more', 'disks'), DISKS)
def test_disks(host: Host, named: str, elsewhere: str, more: dict[str, str], disks: str) -> None:
    before = host.snapshot()
    assert names(look(host, named, elsewhere, **more)) == (disks, '')  # type: ignore[arg-type]
    assert host.snapshot() == before


def designator(kind: int, name: bytes) -> bytes:
    """A binary name of the logical unit (SPC-4, 7.8.6.1)."""
    return bytes([1, kind, 0, len(name)]) + name


NAA = designator(3, bytes.fromhex('600140500000000000000000000000aa'))
EUI = designator(2, bytes.fromhex('0014050000000001'))


@pytest.mark.parametrize(
    ('of_sda', 'of_sdb'),
    [(NAA + EUI, EUI), (NAA + EUI, NAA), (EUI, NAA + EUI), (b'', b''), (NAA, NAA)],
    ids=['one name less', 'the other less', 'one more', 'a serial number alone', 'the same'],
)
def test_a_disk_elsewhere_with_fewer_names_is_the_volume(
    host: Host, of_sda: bytes, of_sdb: bytes
) -> None:
    """One page is read before the rest of a disk elsewhere: it leaves out no disk that is ours."""
    for name, names_of in (('sda', of_sda), ('sdb', of_sdb)):
        page = bytes([0, 0x83, 0, len(names_of)]) + names_of
        host.tree.file(f'{host.disks[name].device}/vpd_pg83', page)
    assert names(look(host, 'sda', 'sdb sdc')) == ('sda* sdb', '')


def test_a_disk_is_what_the_kernel_knows_of_it(host: Host) -> None:
    (disk,) = look(host, 'sda').disks
    assert disk.number == scsi.number_of('sda') != 0
    assert disk.address == host.disks['sda'].address
    assert disk.identity.wwid == wwid_of(host, 'sda')
    # The array has given the LUN to another volume; the kernel has not been told.
    host.disks['sda'].session.target.luns[1] = array.Unit('tin')
    assert look(host, 'sda').disks == (disk,)
    assert not host.acts


@pytest.mark.parametrize(('wwid', 'is_asked'), [('gold', True), ('', False)])
def test_a_disk_without_a_name_in_the_kernel_is_asked_if_the_caller_passes_an_identity(
    host: Host, wwid: str, is_asked: bool
) -> None:
    unit = host.disks['sda'].unit
    for number in unit.kernel_reads:
        host.tree.remove(f'{host.disks["sda"].device}/vpd_pg{number:02x}')
    (disk,) = look(host, 'sda', wwid=wwid).disks
    assert disk.identity.wwid == (unit.wwid if is_asked else '')
    host.disks['sda'].session.target.luns[1].unresponsive = True
    (disk,) = look(host, 'sda', wwid=wwid).disks
    assert disk.identity.wwid == ''


def mapped(host: Host) -> fake_host.Map:
    assert host.claim('sda')
    assert host.claim('sdb')
    return host.maps['dm-0']


@pytest.mark.parametrize(
    ('named', 'elsewhere', 'disks'),
    [
        ('sda', '', 'sda* sdb'),
        ('sda sdb', '', 'sda* sdb*'),
        ('-', 'sdb', 'sdb sda'),
        ('sdc', '', 'sdc*'),
    ],
)
def test_a_map_and_all_disks_below_it(host: Host, named: str, elsewhere: str, disks: str) -> None:
    wwid = '' if elsewhere == '' else 'gold'
    mapped(host)
    found = look(host, named, elsewhere, wwid=wwid)
    assert names(found) == (disks, '' if named == 'sdc' else 'dm-0')
    for each in found.maps:
        assert (each.wwid, set(each.disks)) == (wwid_of(host, 'sda'), {'sda', 'sdb'})


BARE = [
    # On its paths, what else is passed; and whether the map that has lost all disks is found.
    ('-', {'wwid': 'its'}, True),
    ('-', {'wwid': 'silver'}, False),
    ('-', {'kept': '/dev/dm-0'}, True),
    ('-', {}, False),
    ('sdc', {'kept': '/dev/dm-0'}, False),
    ('sdc', {'wwid': 'its'}, True),
]


@pytest.mark.parametrize(('named', 'more', 'is_found'), BARE)
def test_a_map_that_has_lost_all_disks(
    host: Host, named: str, more: dict[str, str], is_found: bool
) -> None:
    found = mapped(host)
    found.open_count = 1
    for name in ('sda', 'sdb'):
        host.remove_disk(host.disks[name])
    host.settle()
    assert not found.disks
    more = {key: found.wwid if value == 'its' else value for key, value in more.items()}
    maps = look(host, named, **more).maps  # type: ignore[arg-type]
    assert maps == ((plans.FoundMap('dm-0', found.wwid),) if is_found else ())


def test_disks_that_have_gone_are_not_below_a_map(host: Host) -> None:
    """They stay among its slaves until multipathd has dropped them."""
    mapped(host)
    host.tree.remove('/sys/class/block/sdb')
    (found,) = look(host, 'sda').maps
    assert found.disks == ('sda',)


def test_users_are_looked_for_only_if_asked(host: Host) -> None:
    mapped(host)
    mounts = [
        f'3{number} 25 {major} / /srv/{name} rw - xfs /dev/{name} rw\n'
        for number, (major, name) in enumerate([('253:0', 'dm-0'), ('8:32', 'sdc')])
    ]
    host.tree.file('/proc/self/mountinfo', ''.join(mounts))
    found = look(host, 'sda sdc')
    users = {each.name: each.users for each in (*found.disks, *found.maps)}
    assert users == {
        'sda': (),  # The map above it is no user, but may have users itself.
        'sdb': (),
        'sdc': ('mount on /srv/sdc',),
        'dm-0': ('mount on /srv/dm-0',),
    }
    bare = look(host, 'sda sdc', with_users=False)
    assert not any(each.users for each in (*bare.disks, *bare.maps))
    cut = [dataclasses.replace(each, users=()) for each in found.disks]
    assert bare.disks == tuple(cut)


def test_our_links_and_what_they_were_made_for(host: Host) -> None:
    prefix = '/dev/disk/by-id/os-brick+dev+'
    host.tree.link(f'{prefix}sda', '/dev/sdc')
    host.tree.link(f'{prefix}sdx', '/dev/sdc')
    assert look(host, 'sda').links == ()
    links = look(host, 'sda', link=True).links
    assert {(each.path, each.device) for each in links} == {
        (f'{prefix}sda', 'sda'),
        (f'{prefix}sdx', ''),
    }


def test_of_disks_by_their_names(host: Host) -> None:
    mapped(host)
    assert names(survey.of_disks(['sda'])) == ('sda* sdb', 'dm-0')
    assert names(survey.of_disks(['sdc', 'sdc'])) == ('sdc*', '')
    assert names(survey.of_disks([])) == ('', '')


@pytest.mark.parametrize(
    ('reported', 'above', 'is_stale'),
    [('sda', '', False), ('sdc', '', True), ('sda', 'sdb', False), ('sda', 'sdc', True)],
)
def test_stale_disks(host: Host, reported: str, above: str, is_stale: bool) -> None:
    """sda, whose kernel identity is gold's, reports an identity, below the map of a volume."""
    actual, cached = scsi.cached_identity(reported), scsi.cached_identity('sda')
    map_wwid = wwid_of(host, above) if above else ''
    assert survey.is_stale(actual, cached, map_wwid) is is_stale
    believed = survey.believed_wwid(cached, map_wwid)
    assert believed == (map_wwid if above == 'sdc' else str(cached))
