# SPDX-License-Identifier: Apache-2.0
"""open-iscsi's records on disk: given settings for a while, and then as they were."""

from __future__ import annotations

from collections.abc import Mapping
import dataclasses
import re

from os_brick import exception, privileged
from os_brick.core import files, wait
from os_brick.model import addresses, host_files, iscsi_record
from os_brick.privileged import check, iscsi_files, iscsi_kept, iscsi_pattern, iscsiadm
from os_brick.privileged.iscsi_files import Database
from os_brick.privileged.iscsi_kept import DISCOVERY, NODE, NOTHING, Kept

INITIATOR_NAME = '/etc/iscsi/initiatorname.iscsi'
_SETTING = re.compile(r'(?:node|discovery)\.[a-z0-9_.\[\]]{1,80}')
# Our records and those of os-brick 7 say so, an operator's rarely.
_MARK = {'node.session.scan': 'manual'}
# In each record that is made here. open-iscsi skips comments (idbm_recinfo_config), and os-brick 7
# deletes the record with it, so nothing is left to be forgotten elsewhere.
_MADE = '# Made by os-brick for an attach, and deleted with it.'
_CHAP = 'node.session.auth.authmethod'
_MOST_PORTALS = 4096


def _checked(settings: Mapping[str, str]) -> dict[str, str]:
    for name, value in check.settings(settings, 'settings of open-iscsi').items():
        if not _SETTING.fullmatch(str(name)):
            raise exception.InvalidParameterValue(
                err=f'{name!r} is not a known setting of open-iscsi'
            )
        check.record_value(value, f'value of {name}')
    return dict(settings)


def _checked_portal(address: str, port: int) -> addresses.Portal:
    name = check.address(address)
    return addresses.Portal(addresses.ip(name) or name.lower(), check.port(port))


def _iface(record: str) -> str:
    return iscsi_record.value(record, 'iface.iscsi_ifacename') or 'default'


# --- Nodes ---------------------------------------------------------------------------------------


def prepare_node(
    target: str, address: str, port: int, iface: str, settings: dict[str, str], timeout: float
) -> bool:
    """Have a node record with settings; return whether it is one that was made here.

    A record that open-iscsi cannot use is made anew. What one was before is kept until
    :func:`release_nodes`.

    :raises BrickException: naming the file, if it cannot be written, or what iscsiadm reports,
        if it does not make one.
    :raises ProcessExecutionError: if iscsiadm does not end.
    """
    name, portal = check.target(target), _checked_portal(address, port)
    check.iface(iface)
    wanted, limit = _checked(settings), check.seconds(timeout)
    database = _database(iface)
    key = f'{name} {portal}'
    kept = noted = iscsi_kept.load(database.homes, NODE, key)
    records = database.nodes(name, [portal])[portal]
    ours, others = _sorted(records, iface, kept)
    if _CHAP not in wanted:
        ours = _without_secrets(ours)
    if not ours and not others:
        _require_place(records, iface, kept)
        database.require_directories(name)
        ours = _by_pattern(name, portal, iface)
        if not ours:
            # Noted before it is made: a later call finds out whose it is, whatever happens here.
            noted = dataclasses.replace(kept, making=iface)
            iscsi_kept.save(database.homes, NODE, key, noted)
            ours = _made(name, portal, iface, limit)
    bases = {path: kept.base(path, record, iface, _MARK) for path, record in others.items()}
    known = kept.with_bases(bases, wanted)
    if others:
        iscsi_kept.save(database.homes, NODE, key, known)
    for path, (base, _) in bases.items():
        iscsi_files.write(path, iscsi_record.with_settings(base, wanted))
    for path, record in ours.items():
        iscsi_files.write(path, _marked(iscsi_record.with_settings(record, wanted)))
    if not others and noted != known:
        iscsi_kept.save(database.homes, NODE, key, known)
    return not others


def _without_secrets(ours: dict[str, str]) -> dict[str, str]:
    """Records that were made here; none, and they are deleted, if one has a secret.

    It is an earlier attach's, in the place of what ``iscsid.conf`` says.
    """
    if not any(map(_has_chap, ours.values())):
        return ours
    for path in ours:
        iscsi_files.delete(path)
    return {}


def _database(iface: str) -> Database:
    """open-iscsi's database; without open-iscsi the error that says so, and nothing is made."""
    found = Database.here()
    if not found.homes:
        iscsiadm.show_iface(iface)
    return found


def _sorted(
    records: Mapping[str, str], iface: str, kept: Kept
) -> tuple[dict[str, str], dict[str, str]]:
    """Of an iface's records those that were made here, and the others."""
    found = {path: record for path, record in records.items() if _iface(record) == iface}
    ours = {path: record for path, record in found.items() if _is_ours(record, iface, kept)}
    return ours, {path: record for path, record in found.items() if path not in ours}


def _require_place(records: Mapping[str, str], iface: str, kept: Kept) -> None:
    """Check that a new record takes the place of no other iface's.

    Without a portal group tag there is one file a portal, and open-iscsi writes over the one that
    is there (2.1.11, ``idbm_rec_write_new`` of usr/idbm.c: "old style portal as config").

    :raises BrickException: naming a record that was not left by an attach.
    """
    for path, record in records.items():
        is_file = path.rpartition('/')[2].count(',') == 1
        other = _iface(record)
        is_left = _is_ours(record, other, kept) or iscsi_record.has_settings(record, _MARK)
        if is_file and not is_left:
            raise exception.BrickException(
                f'{path} is a record of iface {other}, and open-iscsi would write the one of iface '
                f'{iface} over it; make it anew with its portal group tag (iscsiadm --portal '
                'ADDRESS:PORT,TAG --op new), which gives each iface a file of its own, or delete it'
            )


def _marked(record: str) -> str:
    return record if _MADE in record.splitlines() else f'{record.rstrip()}\n{_MADE}\n'


def _has_chap(record: str) -> bool:
    return iscsi_record.value(record, _CHAP) == 'CHAP'


def _is_ours(record: str, iface: str, kept: Kept) -> bool:
    """Whether a record was made here, and no other program has taken it over since."""
    is_made = _MADE in record.splitlines() and iscsi_record.has_settings(record, _MARK)
    return is_made or kept.making == iface


def _by_pattern(target: str, portal: addresses.Portal, iface: str) -> dict[str, str]:
    """The text of a new record, not written yet, if that of an earlier one is its pattern.

    It is written with the mark in it, at once, so nothing has to be noted before. A file that is
    there is another iface's record, whose place only iscsiadm may decide on.
    """
    found = iscsi_pattern.new(target, portal, iface)
    if found is None or files.exists(found[0]):
        return {}
    files.make_directories(files.real(found[0].rpartition('/')[0]), 0o700)
    return dict([found])


def _made(target: str, portal: addresses.Portal, iface: str, timeout: float) -> dict[str, str]:
    """The new record of a portal.

    :raises BrickException: if there is none then.
    """
    sources = iscsi_pattern.sources(iface)
    code, _, stderr = iscsiadm.make_node(target, portal.address, portal.port, iface, timeout)
    records = {} if code else Database.anywhere().nodes(target, [portal])[portal]
    found = {path: record for path, record in records.items() if _iface(record) == iface}
    if not found:
        raise exception.BrickException(
            f'No node record for {target} at {portal} ({iface}): iscsiadm ended with {code}: '
            f'{stderr or "but there is no record"}'
        )
    iscsi_pattern.keep(sources, target, portal, iface, found)
    return found


@privileged.entrypoint
def release_nodes(
    target: str, portals: tuple[tuple[str, int], ...], *, prepared_only: bool
) -> None:
    """Have the node records of a target's portals be what they were before :func:`prepare_node`.

    One that was there before has its settings back; what another program has changed since stays.
    One that was made is deleted, and so are the links of open-iscsi to it. A record that os-brick 7
    has left counts as made, unless ``prepared_only``; one that was never configured stays.

    ``iscsiadm --op delete`` cannot leave alone a record that another login is making.

    :raises BrickException: naming the file that cannot be written or deleted.
    """
    name = check.target(target)
    places = check.pairs(portals, _MOST_PORTALS, 'portals')
    wanted = [_checked_portal(address, port) for address, port in places]
    database = Database.here()
    for portal, records in database.nodes(name, wanted).items():
        key = f'{name} {portal}'
        kept = iscsi_kept.load(database.homes, NODE, key)
        for path, record in records.items():
            _release(path, record, kept, prepared_only=prepared_only)
        if kept != NOTHING:
            iscsi_kept.save(database.homes, NODE, key, NOTHING)
    database.remove_empty(name)
    database.unlink_dangling(name, wanted)


def _release(path: str, record: str, kept: Kept, *, prepared_only: bool) -> None:
    is_marked = iscsi_record.has_settings(record, _MARK)
    before = kept.before.get(path) if is_marked else None
    if before is not None:
        iscsi_files.write(path, iscsi_record.reverted(record, before, kept.given[path]))
    elif _is_ours(record, _iface(record), kept) or (is_marked and not prepared_only):
        iscsi_files.delete(path)


# --- Discovery -----------------------------------------------------------------------------------


@privileged.entrypoint
def discover(
    address: str, port: int, iface: str, settings: dict[str, str], timeout: float
) -> tuple[int, str, str]:
    """Ask a portal for its targets with settings, which are in its record meanwhile.

    Afterwards the record is, byte for byte, what it was; one that was made is deleted. The caller
    holds the lock of discoveries at this portal.

    :raises BrickException: naming the record, if it cannot be written.
    :raises ProcessExecutionError: if iscsiadm does not end.
    """
    portal = _checked_portal(address, port)
    where = portal.address, portal.port, check.iface(iface)
    wanted, ends = _checked(settings), wait.Deadline.after(check.seconds(timeout))
    database = Database.here()
    kept = iscsi_kept.load(database.homes, DISCOVERY, str(portal))
    found = database.discoveries(portal)
    bases = {path: kept.base(path, record, iface, {}) for path, record in found.items()}
    known = NOTHING.with_bases(bases, wanted, making=kept.making if found else iface)
    iscsi_kept.save(database.homes, DISCOVERY, str(portal), known)
    try:
        if not found:
            iscsiadm.make_discovery(*where, ends.limit(iscsiadm.DATABASE_SECONDS))
            made = Database.anywhere().discoveries(portal)
            bases = {path: (record, None) for path, record in made.items()}
        for path, (base, _) in bases.items():
            iscsi_files.write(path, iscsi_record.with_settings(base, wanted))
        return iscsiadm.discover_recorded(*where, ends.limit())
    finally:
        _release_discovery(portal, known)


def _release_discovery(portal: addresses.Portal, known: Kept) -> None:
    database = Database.anywhere()
    for path in database.discovery_paths(portal):
        before = known.before.get(path)
        if before is not None:
            iscsi_files.write(path, before)
        else:
            iscsi_files.delete(path)
    iscsi_kept.save(database.homes, DISCOVERY, str(portal), NOTHING)


@privileged.entrypoint
def initiator_name() -> str | None:
    """This host's iSCSI name; ``None`` where it has no file of it, empty where that has no name.

    :raises BrickException: if the file has something else in its place.
    """
    try:
        return host_files.initiator_name(files.read_bytes(INITIATOR_NAME))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise exception.BrickException(f'{INITIATOR_NAME} cannot be read: {error}') from None
    except ValueError as error:
        raise exception.BrickException(f'{INITIATOR_NAME}: {error}') from None
