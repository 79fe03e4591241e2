# SPDX-License-Identifier: Apache-2.0
"""open-iscsi's records on disk: given settings for a while, and then as they were.

open-iscsi keeps them below ``/etc/iscsi`` or, as of late in Debian and ever in Fedora,
``/var/lib/iscsi``. A file is replaced as a whole, so open-iscsi's programs never read half of one;
their lock is not taken, because the caller holds our lock of the portal. What a record was before
is kept beside the records (``os-brick``, for root alone: it has the operator's secrets), so it
survives a restart of this daemon and of the host, as the record does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
import contextlib
import dataclasses
import re

from oslo_log import log as logging

from os_brick import exception, privileged
from os_brick.core import atomic, files, store, wait
from os_brick.model import addresses, host_files, iscsi_record
from os_brick.privileged import check, iscsiadm

LOG = logging.getLogger(__name__)

_HOMES = ('/etc/iscsi', '/var/lib/iscsi')
_KEPT = 'os-brick'
_INITIATOR_NAME = '/etc/iscsi/initiatorname.iscsi'
_SETTING = re.compile(r'(?:node|discovery)\.[a-z0-9_.\[\]]{1,80}')
# open-iscsi's own have 4 KiB.
_LARGEST_RECORD_BYTES = 128 << 10
# Our records and those of os-brick 7 say so, an operator's rarely.
_MARK = {'node.session.scan': 'manual'}
# In each record that is made here. open-iscsi skips comments (idbm_recinfo_config), and os-brick 7
# deletes the record with it, so nothing is left to be forgotten elsewhere.
_MADE = '# Made by os-brick for an attach, and deleted with it.'
_CHAP = 'node.session.auth.authmethod'
_NODE, _DISCOVERY = 'node', 'discovery'
_MOST_PORTALS = 4096

# Whether a record's text is of use to open-iscsi.
_IsSound = Callable[[str], bool]


@dataclasses.dataclass(frozen=True, slots=True)
class _Portal:
    """A portal of a target, and what was kept of its records.

    :ivar before: by path, what the record was; ``None`` for a discovery's that was made here.
    :ivar given: by path, the marks of the settings that it was given.
    :ivar making: the iface of a record that was about to be made when something went wrong.
    """

    before: dict[str, str | None] = dataclasses.field(default_factory=dict)
    given: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)
    making: str = ''

    def base(
        self, path: str, record: str, iface: str, mark: Mapping[str, str]
    ) -> tuple[str, str | None]:
        """A record without our settings, and what it is to be once we let go of it."""
        if path in self.before and iscsi_record.has_settings(record, mark):
            before = self.before[path]
            base = iscsi_record.reverted(record, before or '', self.given[path])
            return base, None if before is None else base
        return record, None if self.making == iface else record


def _checked(settings: Mapping[str, str]) -> dict[str, str]:
    for name, value in check.settings(settings, 'settings of open-iscsi').items():
        if not _SETTING.fullmatch(str(name)):
            raise exception.InvalidParameterValue(
                err=f'{name!r} is not a known setting of open-iscsi'
            )
        check.record_value(value, f'value of {name}')
    return dict(settings)


# --- What a record was before --------------------------------------------------------------------


def _stores() -> list[store.Store]:
    """Where it is kept: beside the records, the place of new ones first."""
    homes = [home for home in reversed(_HOMES) if files.is_directory(home)] or [_HOMES[0]]
    return [store.Store(files.real(f'{home}/{_KEPT}'), 0o600, 0o700) for home in homes]


def _load(kind: str, key: str) -> _Portal:
    found = (each.load(kind, key) for each in _stores())
    state = next((state for state in found if state is not None), None)
    try:
        return _Portal(**state) if state else _Portal()
    except TypeError:
        return _Portal()  # Of another release.


def _keep(kind: str, key: str, kept: _Portal) -> None:
    _stores()[0].save(kind, key, dataclasses.asdict(kept), durable=True)


def _keep_or_drop(kind: str, key: str, kept: _Portal) -> None:
    if kept == _Portal():
        _drop(kind, key)
    else:
        _keep(kind, key, kept)


def _drop(kind: str, key: str) -> None:
    for each in _stores():
        each.save(kind, key, None, durable=True)
    for home in _HOMES:
        files.remove_if_empty(f'{home}/{_KEPT}')


# --- Files ---------------------------------------------------------------------------------------


@contextlib.contextmanager
def _about(path: str) -> Iterator[None]:
    """Have an error of the block name a file and what to do."""
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        raise exception.BrickException(
            f"open-iscsi's record {path} cannot be used: {why}; repair or remove it"
        ) from error


def _sound(path: str, is_sound: _IsSound) -> str | None:
    """The text of a record; one that open-iscsi cannot use is removed, and ``None`` returned.

    :raises BrickException: naming the file, if it can be neither read nor removed.
    """
    with _about(path):
        if files.is_directory(path):
            files.remove_directory(path)  # Only if it is empty.
            return None
        try:
            record = iscsi_record.decoded(files.read_bytes(path, _LARGEST_RECORD_BYTES))
        except FileNotFoundError:
            record = ''
        if is_sound(record):
            return record
        if files.exists(path) or files.is_link(path):
            LOG.warning("open-iscsi's record %s is empty or broken, and is removed", path)
            files.unlink(path)
            files.remove_if_empty(path.rpartition('/')[0])
    return None


def _write(path: str, record: str) -> None:
    with _about(path):
        atomic.replace(path, iscsi_record.encoded(record))


def _same(address: str, port: str, portal: addresses.Portal) -> bool:
    """Whether a record's address and port are those of a portal, however they are spelled."""
    host = addresses.ip(address) or address.lower()
    return port.isdecimal() and (host, int(port)) == (portal.address, portal.port)


def _node_paths(target: str, portal: addresses.Portal) -> list[str]:
    """Where a portal's records are, in either layout: with a portal group tag, and without."""
    found = []
    for home in _HOMES:
        base = f'{home}/nodes/{target}'
        for name in files.names(base):
            address, port, *_ = [*name.split(','), '']
            if not _same(address, port, portal):
                continue
            path = f'{base}/{name}'
            if files.is_directory(path):
                found += [f'{path}/{iface}' for iface in files.names(path)]
                files.remove_if_empty(path)
            else:
                found.append(path)
    return found


def _nodes(target: str, portal: addresses.Portal, iface: str | None = None) -> dict[str, str]:
    """The records of a portal that open-iscsi can use, by path; others are removed.

    :param iface: of which iface record; ``None`` for each.
    :raises BrickException: naming the file, if one can be neither read nor removed.
    """

    def is_sound(record: str) -> bool:
        return iscsi_record.is_node(record, target)

    found = {}
    for path in _node_paths(target, portal):
        record = _sound(path, is_sound)
        if record is None:
            continue
        if iface in (None, _iface(record)):
            found[path] = record
    return found


def _iface(record: str) -> str:
    return iscsi_record.value(record, 'iface.iscsi_ifacename') or 'default'


def _require_directories(target: str) -> None:
    """Remove what keeps a new record from being made.

    :raises BrickException: naming what is.
    """
    for home in _HOMES:
        for path in (home, f'{home}/nodes', f'{home}/nodes/{target}'):
            if (files.exists(path) or files.is_link(path)) and not files.is_directory(path):
                raise exception.BrickException(
                    f'{path} is not a directory, so open-iscsi cannot keep records in it; remove it'
                )


def _checked_portal(address: str, port: int) -> addresses.Portal:
    name = check.address(address)
    return addresses.Portal(addresses.ip(name) or name.lower(), check.port(port))


# --- Nodes ---------------------------------------------------------------------------------------


@privileged.entrypoint
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
    _require_directories(name)
    key = f'{name} {portal}'
    kept = _load(_NODE, key)
    found = _nodes(name, portal, iface)
    ours = {path: record for path, record in found.items() if _is_ours(record, iface, kept)}
    if _CHAP not in wanted and any(map(_has_chap, ours.values())):
        # An earlier attach's secret, in the place of what iscsid.conf says.
        for path in ours:
            _delete(path)
        found, ours = {path: found[path] for path in found if path not in ours}, {}
    noted = kept
    if not found:
        # Noted before it is made: a later call finds out whose it is, whatever happens here.
        noted = dataclasses.replace(kept, making=iface)
        _keep(_NODE, key, noted)
        ours = found = _made(name, portal, iface, limit)
    others = {path: record for path, record in found.items() if path not in ours}
    bases = {path: kept.base(path, record, iface, _MARK) for path, record in others.items()}
    known = _Portal(
        before={**kept.before, **{path: before for path, (_, before) in bases.items()}},
        given={**kept.given, **dict.fromkeys(bases, iscsi_record.marks(wanted))},
    )
    if others:
        _keep(_NODE, key, known)
    for path, (base, _) in bases.items():
        _write(path, iscsi_record.with_settings(base, wanted))
    for path, record in ours.items():
        _write(path, _marked(iscsi_record.with_settings(record, wanted)))
    if not others and noted != known:
        _keep_or_drop(_NODE, key, known)
    return not others


def _marked(record: str) -> str:
    return record if _MADE in record.splitlines() else f'{record.rstrip()}\n{_MADE}\n'


def _has_chap(record: str) -> bool:
    return iscsi_record.value(record, _CHAP) == 'CHAP'


def _is_ours(record: str, iface: str, kept: _Portal) -> bool:
    """Whether a record was made here, and no other program has taken it over since."""
    is_made = _MADE in record.splitlines() and iscsi_record.has_settings(record, _MARK)
    return is_made or kept.making == iface


def _delete(path: str) -> None:
    with _about(path):
        files.unlink(path)
        # The directory of the portal, where there is a portal group tag.
        files.remove_if_empty(path.rpartition('/')[0])


def _made(target: str, portal: addresses.Portal, iface: str, timeout: float) -> dict[str, str]:
    """The new record of a portal.

    :raises BrickException: if there is none then.
    """
    code, _, stderr = iscsiadm.make_node(target, portal.address, portal.port, iface, timeout)
    found = {} if code else _nodes(target, portal, iface)
    if not found:
        raise exception.BrickException(
            f'No node record for {target} at {portal} ({iface}): iscsiadm ended with {code}: '
            f'{stderr or "and there is no record"}'
        )
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
    for portal in [_checked_portal(address, port) for address, port in places]:
        kept = _load(_NODE, f'{name} {portal}')
        for path, record in _nodes(name, portal).items():
            _release(path, record, kept, prepared_only=prepared_only)
        if kept != _Portal():
            _drop(_NODE, f'{name} {portal}')
        for home in _HOMES:
            files.remove_if_empty(f'{home}/nodes/{name}')
            _unlink_dangling(home, name, portal)


def _release(path: str, record: str, kept: _Portal, *, prepared_only: bool) -> None:
    is_marked = iscsi_record.has_settings(record, _MARK)
    before = kept.before.get(path) if is_marked else None
    if before is not None:
        _write(path, iscsi_record.reverted(record, before, kept.given[path]))
    elif _is_ours(record, _iface(record), kept) or (is_marked and not prepared_only):
        _delete(path)


def _unlink_dangling(home: str, target: str, portal: addresses.Portal) -> None:
    """Remove open-iscsi's links to records that have gone, one for each discovery method."""
    discovered = [f'{home}/send_targets/{name}' for name in files.names(f'{home}/send_targets')]
    for directory in (*discovered, f'{home}/static', f'{home}/isns', f'{home}/fw'):
        for name in files.names(directory):
            path = f'{directory}/{name}'
            # TARGET,ADDRESS,PORT,TAG,IFACE
            words = [*name.split(','), '', '']
            is_meant = words[0] == target and _same(words[1], words[2], portal)
            if is_meant and files.is_link(path) and not files.exists(path):
                with _about(path):
                    files.unlink(path)


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
    kept = _load(_DISCOVERY, str(portal))
    found = _discovery_records(portal)
    bases = {path: kept.base(path, record, iface, {}) for path, record in found.items()}
    known = _Portal(
        before={path: before for path, (_, before) in bases.items()},
        given=dict.fromkeys(bases, iscsi_record.marks(wanted)),
        making=kept.making if found else iface,
    )
    _keep(_DISCOVERY, str(portal), known)
    try:
        if not found:
            iscsiadm.make_discovery(*where, ends.limit(iscsiadm.DATABASE_SECONDS))
            bases = {path: (text, None) for path, text in _discovery_records(portal).items()}
        for path, (base, _) in bases.items():
            _write(path, iscsi_record.with_settings(base, wanted))
        return iscsiadm.discover_recorded(*where, ends.limit())
    finally:
        _release_discovery(portal, known)


def _release_discovery(portal: addresses.Portal, known: _Portal) -> None:
    for path in _discovery_paths(portal):
        before = known.before.get(path)
        if before is not None:
            _write(path, before)
        else:
            _delete(path)
    _drop(_DISCOVERY, str(portal))


def _discovery_paths(portal: addresses.Portal) -> list[str]:
    found = []
    for home in _HOMES:
        for name in files.names(f'{home}/send_targets'):
            address, port, *_ = [*name.split(','), '']
            path = f'{home}/send_targets/{name}/st_config'
            if _same(address, port, portal) and (files.exists(path) or files.is_link(path)):
                found.append(path)
    return found


def _discovery_records(portal: addresses.Portal) -> dict[str, str]:
    found = {path: _sound(path, iscsi_record.is_discovery) for path in _discovery_paths(portal)}
    return {path: record for path, record in found.items() if record is not None}


@privileged.entrypoint
def initiator_name() -> str | None:
    """This host's iSCSI name, or ``None`` where it has none.

    :raises BrickException: if the file has something else in its place.
    """
    try:
        return host_files.initiator_name(files.read_bytes(_INITIATOR_NAME)) or None
    except OSError:
        return None
    except ValueError as error:
        raise exception.BrickException(f'{_INITIATOR_NAME}: {error}') from None
