# SPDX-License-Identifier: Apache-2.0
"""iscsiadm of open-iscsi 2.1.11, as far as the library uses it; every other use raises.

Exit codes are those of include/iscsi_err.h; recorded/guest.json has real answers.
"""

from typing import TYPE_CHECKING

from os_brick.model import addresses
from tests.unit.fakehost import array

if TYPE_CHECKING:
    from tests.unit.fakehost.host import Host, Session

Answer = tuple[int, str, str]

_DEFAULTS = {
    'node.startup': 'automatic',
    'node.session.scan': 'auto',
    'node.session.nr_sessions': '1',
    'node.session.initial_login_retry_max': '8',
    'node.session.auth.authmethod': 'None',
}
_NAMES = {
    '-m': 'mode',
    '-T': 'target',
    '-p': 'portal',
    '-I': 'iface',
    '-r': 'session',
    '-t': 'type',
    '--op': 'op',
    '--login': 'login',
    '--logout': 'logout',
    '--discover': 'discover',
}
_FLAGS = {'login', 'logout', 'discover'}


def _options(words: tuple[str, ...]) -> dict[str, str]:
    found = {}
    rest = list(words)
    while rest:
        name = _NAMES[rest.pop(0)]
        found[name] = 'yes' if name in _FLAGS else rest.pop(0)
    return found


def run(host: 'Host', words: tuple[str, ...], timeout: float | None) -> Answer:
    """What comes of a command line; an unknown one raises."""
    option = _options(words)
    mode = option.pop('mode')
    with host.guard:
        return _MODES[mode](host, option)


def _node(host: 'Host', option: dict[str, str]) -> Answer:
    if option.get('login'):
        return _login(host, option)
    if option.get('logout'):
        return _logout_target(host, option)
    return {'new': _new, 'delete': _delete}[option['op']](host, option)


def _place(option: dict[str, str]) -> str:
    portal = addresses.Portal.parse(option['portal'])
    return f'/var/lib/iscsi/nodes/{option["target"]}/{portal.address},{portal.port}'


def _new(host: 'Host', option: dict[str, str]) -> Answer:
    """Without a portal group tag: one file a portal, named by address and port."""
    portal = addresses.Portal.parse(option['portal'])
    settings = {
        'node.name': option['target'],
        'iface.iscsi_ifacename': option['iface'],
        'node.conn[0].address': portal.address,
        'node.conn[0].port': str(portal.port),
        **_DEFAULTS,
    }
    lines = [f'{name} = {value}' for name, value in settings.items()]
    host.tree.file(_place(option), '\n'.join(['# BEGIN RECORD 2.1.11', *lines, '# END RECORD', '']))
    return 0, f'New iSCSI node [tcp:[...] {option["portal"]} {option["target"]}] added\n', ''


def _delete(host: 'Host', option: dict[str, str]) -> Answer:
    home = host.tree.at(f'/var/lib/iscsi/nodes/{option["target"]}')
    if 'portal' in option:
        if not host.tree.at(_place(option)).exists():
            return 21, '', 'iscsiadm: No records found\n'
        host.tree.remove(_place(option))
        host.tree.prune(f'/var/lib/iscsi/nodes/{option["target"]}')
    elif home.exists():
        host.tree.remove(f'/var/lib/iscsi/nodes/{option["target"]}')
    else:
        return 21, '', 'iscsiadm: No records found\n'
    return 0, '', ''


def record(host: 'Host', option: dict[str, str]) -> dict[str, str] | None:
    """A node record's settings, read as open-iscsi reads them: the last line of a name counts."""
    place = host.tree.at(_place(option))
    if not place.exists():
        return None
    found = {}
    for line in place.read_text().splitlines():
        name, separator, value = line.partition(' = ')
        if separator:
            found[name] = value
    return found


def _target(host: 'Host', name: str) -> array.Target | None:
    return next((target for target in host.targets if target.iqn == name), None)


def _login(host: 'Host', option: dict[str, str]) -> Answer:
    settings = record(host, option)
    if settings is None:
        return 21, '', 'iscsiadm: No records found\n'
    target = _target(host, option['target'])
    parsed = addresses.Portal.parse(option['portal'])
    portal = target.portal_at(parsed.address, parsed.port) if target else None
    if target is None or portal is None or not portal.is_open:
        return 8, '', f'iscsiadm: Could not login to [... portal: {parsed}].\n'
    if any(s.portal is portal for s in host.sessions.values()):
        return 15, '', 'iscsiadm: Could not log into all portals\n'
    if not target.knows_initiator:
        return 19, '', 'iscsiadm: initiator reported error (19 - encountered fatal login failure)\n'
    said = (settings.get('node.session.auth.username'), settings.get('node.session.auth.password'))
    if target.chap is not None and said != target.chap:
        return 24, '', 'iscsiadm: initiator reported error (24 - iSCSI login failed due to auth)\n'
    assert settings['node.session.scan'] == 'manual', 'every volume of the target would appear'
    for _ in range(int(settings['node.session.nr_sessions'])):
        host.log_in(target, portal)
    return 0, f'Login to [iface: default, target: {target.iqn}] successful.\n', ''


def _logout_target(host: 'Host', option: dict[str, str]) -> Answer:
    """Of node records: what has no record is not known here."""
    home = host.tree.at(f'/var/lib/iscsi/nodes/{option["target"]}')
    if not home.exists():
        return 21, '', 'iscsiadm: No records found\n'
    names = {path.name for path in home.iterdir()}
    for session in list(host.sessions.values()):
        name = f'{session.portal.address},{session.portal.port}'
        if session.target.iqn == option['target'] and name in names:
            host.log_out(session)
    return 0, '', ''


def _session(host: 'Host', option: dict[str, str]) -> Answer:
    assert option.get('logout')
    session = host.sessions.get(int(option['session']))
    if session is None:
        return 22, '', 'iscsiadm: Could not get session info for sid\n'
    host.log_out(session)
    return 0, '', ''


def _discovery(host: 'Host', option: dict[str, str]) -> Answer:
    assert option['op'] == 'nonpersistent'
    portal = addresses.Portal.parse(option['portal'])
    lines = [
        f'{each},{each.tag} {target.iqn}\n'
        for target in host.targets
        if any(
            (p.address, p.port, p.is_open) == (portal.address, portal.port, True)
            for p in target.portals
        )
        for each in target.portals
    ]
    return (0, ''.join(lines), '') if lines else (21, '', 'iscsiadm: No portals found\n')


def _iface(host: 'Host', option: dict[str, str]) -> Answer:
    if option['iface'] != 'default':
        return 6, '', 'iscsiadm: Could not read iface\n'
    return 0, '# BEGIN RECORD\niface.iscsi_ifacename = default\niface.transport_name = tcp\n', ''


def _discoverydb(host: 'Host', option: dict[str, str]) -> Answer:
    """Discovery as a record of the portal says, with its credentials."""
    portal = addresses.Portal.parse(option['portal'])
    place = f'/var/lib/iscsi/send_targets/{portal.address},{portal.port}/st_config'
    if option['op'] == 'new':
        lines = ['# BEGIN RECORD 2.1.11', 'discovery.type = sendtargets', '# END RECORD', '']
        host.tree.file(place, '\n'.join(lines))
        return 0, '', ''
    file = host.tree.at(place)
    if not file.exists():
        return 21, '', 'iscsiadm: No records found\n'
    host.discovered_with.append(file.read_text())
    return _discovery(host, option)


_MODES = {
    'discoverydb': _discoverydb,
    'node': _node,
    'session': _session,
    'discovery': _discovery,
    'iface': _iface,
}


def sessions_of(host: 'Host', target: array.Target) -> 'list[Session]':
    """The sessions to one target."""
    return [session for session in host.sessions.values() if session.target is target]
