# SPDX-License-Identifier: Apache-2.0
"""Addresses for portals on dummy devices, and faults on them.

``V4``/``V6`` live on ``lab0`` and anything may listen there. Nothing listens on ``REFUSING``
(connections are refused at once). ``UNRESPONSIVE`` are routed into a device that swallows packets:
a portal that was never there. ``cut`` and ``heal`` do the same to a portal that was.
"""

from collections.abc import Iterator
import contextlib
import pathlib

from tests.functional.lab import shell

# The network of each device of the lab. One guest has them all at once, and some stay until it
# ends: a network that two devices share is answered by the wrong one.
PORTALS = ('10.99.0', 'fd00:99::')
NFS_SERVER = ('10.98.0', 'fd00:98::')
ROCE = ('10.97.0', 'fd00:97::')
CEPH = ('10.96.0', 'fd00:96::')
ELSEWHERE = '10.95.0'

V4 = tuple(f'{PORTALS[0]}.{n}' for n in range(1, 9))
V6 = tuple(f'{PORTALS[1]}{n}' for n in range(1, 5))
REFUSING = f'{PORTALS[0]}.200'
UNRESPONSIVE = ('10.99.9.1', '10.99.9.2')
_HOSTS = pathlib.Path('/etc/hosts')
# Whether the table is there, and has an address in it. It stays: the first and the last hook have
# the kernel's code patched where every packet passes, which an emulated guest may not survive.
_table, _cutting = False, False
_TABLE = """\
table inet labcut {
 set dead4 { type ipv4_addr; }
 set dead6 { type ipv6_addr; }
 chain in { type filter hook input priority 0;
  ip daddr @dead4 drop; ip saddr @dead4 drop; ip6 daddr @dead6 drop; ip6 saddr @dead6 drop; }
 chain out { type filter hook output priority 0;
  ip daddr @dead4 drop; ip saddr @dead4 drop; ip6 daddr @dead6 drop; ip6 saddr @dead6 drop; }
}
"""


def up() -> None:
    """Make the devices, addresses and routes (again, if they were there)."""
    down()
    shell.modules('dummy')
    lines = ['link set lo up', 'link add lab0 type dummy', 'link set lab0 up']
    lines += [f'addr add {address}/32 dev lab0' for address in (*V4, REFUSING)]
    lines += [f'addr add {address}/128 dev lab0 nodad' for address in V6]
    lines += ['link add hole0 type dummy', 'link set hole0 up', 'addr add 192.0.2.254/32 dev hole0']
    lines += [f'route add {address}/32 dev hole0 src 192.0.2.254' for address in UNRESPONSIVE]
    shell.run('ip', '-batch', '-', stdin='\n'.join(lines) + '\n')


def down() -> None:
    """Take everything away that ``up`` and ``cut`` made."""
    for device in ('lab0', 'hole0'):
        if pathlib.Path(f'/sys/class/net/{device}').exists():
            shell.run('ip', 'link', 'del', device)
    global _table, _cutting
    # A run that was killed may have left the table.
    shell.run('nft', 'delete', 'table', 'inet', 'labcut', check=False)
    _table = _cutting = False


def assert_leads(address: str, device: str) -> None:
    """Check that packets to an address leave through a device.

    :raises AssertionError: if they do not: another device of this host has the address.
    """
    route = shell.run('ip', 'route', 'get', address)
    assert f' dev {device} ' in route, f'{address} is not behind {device}: {route}'


def _set(address: str) -> str:
    return 'dead6' if ':' in address else 'dead4'


def cut(address: str) -> None:
    """Drop every packet from and to a portal's address from now on, live connections included."""
    global _table, _cutting
    element = f'add element inet labcut {_set(address)} {{ {address} }}\n'
    shell.run('nft', '-f', '-', stdin=element if _table else _TABLE + element)
    _table = _cutting = True


def heal(address: str) -> None:
    """Let packets pass again."""
    shell.run('nft', 'delete', 'element', 'inet', 'labcut', _set(address), f'{{ {address} }}')


def heal_all() -> None:
    """Let all packets pass; costs nothing where nothing was cut."""
    global _cutting
    if _cutting:
        flush = 'flush set inet labcut dead4\nflush set inet labcut dead6\n'
        shell.run('nft', '-f', '-', stdin=flush)
    _cutting = False


@contextlib.contextmanager
def names(**addresses: str) -> Iterator[None]:
    """Host names (underscores become hyphens) in /etc/hosts while the block runs."""
    old = _HOSTS.read_text() if _HOSTS.exists() else ''
    lines = [f'{address} {name.replace("_", "-")}\n' for name, address in addresses.items()]
    _HOSTS.write_text(old.rstrip('\n') + '\n' + ''.join(lines))
    try:
        yield
    finally:
        _HOSTS.write_text(old)


def portal(address: str, port: int = 3260) -> str:
    """``address:port`` with the brackets that IPv6 needs."""
    return f'[{address}]:{port}' if ':' in address else f'{address}:{port}'
