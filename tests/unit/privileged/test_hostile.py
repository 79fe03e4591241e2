# SPDX-License-Identifier: Apache-2.0
"""Every root function with hostile arguments: a refusal, and nothing on the host changes.

Functions and parameters are found, not listed: a new one fails here until a valid call of it is
known. :func:`execute_root` runs what is on a list (``test_programs``).
"""

from collections.abc import Callable, Iterator
import contextlib
import hashlib
import importlib
import inspect
import pathlib
import pkgutil
import re
from typing import Any

from oslo_concurrency import processutils
import pytest

from os_brick import exception, privileged
from os_brick.core import files, process
from os_brick.model import names, powerflex
from tests.unit.fakehost import array
from tests.unit.fakehost import host as fake_host

IQN, UUID = 'iqn.2026-11.org.lab:t1', '11111111-1111-1111-1111-111111111111'
PORTAL = {'target': IQN, 'address': '127.0.0.1', 'port': 3260, 'iface': 'default'}
MD_UUID = ':'.join(['11' * 4] * 4)
ZFCP = {'device': '0.0.1700', 'wwpn': f'0x{1:016x}', 'lun': f'0x{1:016x}'}
OPTIONS = {'transport': 'tcp', 'traddr': '10.0.0.1', 'trsvcid': '4420', 'nqn': 'nqn.2026-11.org:a'}
CRYPT = {'name': 'crypt-sda', 'passphrase': 'pa55-word'}
SHARE = {'share': 'h:/a', 'place': f'/mnt/{hashlib.md5(b"h:/a").hexdigest()}'}
DSC = {'directory': '/etc/discovery-client/discovery.d', 'uuid': UUID}
CHAP = {'node.session.auth.password': 'pa55-word'}

# Arguments that a function takes; the host that they are for is the fixture's.
VALID: dict[str, dict[str, Any]] = {
    'blkid.probe': {'device': 'sda'},
    'blkid.first_content': {'device': 'sda'},
    'block.read_start': {'device': 'sda'},
    'block.is_claimed': {'device': 'sda'},
    'block.openers': {'devices': ('sda',)},
    'block.flush': {'device': 'sda', 'number': 0},
    'cryptsetup.open_luks': {'device': 'sda', 'number': 0, **CRYPT},
    'cryptsetup.test_luks': {'device': 'sda', 'number': 0, 'passphrase': 'pa55-word'},
    'cryptsetup.open_plain': {
        'device': 'sda',
        'number': 0,
        **CRYPT,
        'cipher': 'aes-xts-plain64',
        'key_bits': 256,
    },
    'cryptsetup.close': {'name': 'crypt-sda', 'dm': 'dm-4'},
    'cryptsetup.resize': {**CRYPT, 'dm': 'dm-4'},
    'dm.status': {'uuid': 'mpath-36001405'},
    'dm.table': {'uuid': 'mpath-36001405'},
    'dm.resume': {'uuid': 'mpath-36001405'},
    'dm.fail_if_no_path': {'uuid': 'mpath-36001405'},
    'dm.remove': {'uuid': 'mpath-36001405'},
    'fc.scan_widely': {'host': 3, 'lun': 1},
    'iscsi_db.release_nodes': {
        'target': IQN,
        'portals': (('127.0.0.1', 3260),),
        'prepared_only': False,
    },
    'iscsi_db.discover': {
        **{name: PORTAL[name] for name in ('address', 'port', 'iface')},
        'settings': {'discovery.sendtargets.auth.password': 'pa55-word'},
    },
    'iscsi_db.initiator_name': {},
    'iscsi_login.log_in': {**PORTAL, 'settings': CHAP},
    'iscsiadm.logout': {'session': 1},
    'iscsiadm.discover': {name: PORTAL[name] for name in ('address', 'port', 'iface')},
    'iscsiadm.show_iface': {'iface': 'default'},
    'lightos.has_dsc_directory': {'directory': DSC['directory']},
    'lightos.has_dsc_file': DSC,
    'lightos.write_dsc_file': {
        **DSC,
        'host_nqn': 'nqn.2014-08.org.nvmexpress:uuid:x',
        'nqn': OPTIONS['nqn'],
        'services': (('10.0.0.1', '8009'),),
    },
    'lightos.delete_dsc_file': DSC,
    'links.link_root': {
        'target': '/dev/sda',
        'link_name': '/dev/disk/by-id/os-brick+dev+sda',
        'force': True,
    },
    'links.unlink_seen': {'link': '/dev/disk/by-id/os-brick+dev+sda', 'mark': '7-8'},
    'links.unlink_root': {'links': '/dev/disk/by-id/os-brick+dev+sda'},
    'luks.header': {'device': 'sda', 'number': 0},
    'luks_backup.keep': {'device': 'sda', 'number': 0, 'uuid': UUID, 'sequence': 3},
    'luks_states.load': {'name': 'wwid-36001405'},
    'luks_states.save': {'name': 'wwid-36001405', 'state': {'header': UUID}},
    'luks_format.look': {'device': 'sda', 'number': 0, 'besides': ((0, '0' * 64),)},
    'luks_format.new_header': {'token': '1' * 32},
    'luks_format.drop_header': {'token': '0' * 32},
    'luks_format.marks': {'token': '0' * 32},
    'luks_format.show_header': {'token': '0' * 32},
    'luks_format.make_header': {
        'token': '0' * 32,
        'device': 'sda',
        'number': 0,
        'version': 2,
        'passphrase': 'pa55-word',
        'cipher': 'aes-xts-plain64',
        'key_bits': 256,
    },
    'luks_format.write_header': {
        'token': '0' * 32,
        'device': 'sda',
        'number': 0,
        'besides': ((0, '0' * 64),),
        'blank': True,
        'digest': '0' * 64,
    },
    'mdadm.superblock': {'device': 'sda'},
    'mdadm.create': {'alias': 'vol1', 'devices': ('sda',)},
    'mdadm.assemble': {'alias': 'vol1', 'uuid': MD_UUID, 'devices': ('sda',)},
    'mdadm.stop': {'array': 'md127'},
    'mdadm.re_add': {'array': 'md127', 'device': 'sda'},
    'mdadm.add': {'array': 'md127', 'device': 'sda'},
    'mdadm.fail': {'array': 'md127', 'device': 'sda'},
    'mdadm.drop': {'array': 'md127', 'device': 'sda'},
    'mdadm.grow': {'array': 'md127'},
    'mount.is_readable': {'path': f'{SHARE["place"]}/volume-1'},
    'mount.log_in_to_virtuozzo': {'cluster': 'c1', 'password': 'pa55-word'},
    'mount.mount': {**SHARE, 'kind': 'nfs', 'options': ('ro',), 'credentials': ('username=u',)},
    'mount.mount_scality': {'place': '/mnt/sofs'},
    'mount.mount_virtuozzo': {'cluster': 'c1', 'place': SHARE['place'], 'flags': ('-r',)},
    'mount.set_virtuozzo_servers': {'cluster': 'c1', 'servers': ('10.0.0.1',)},
    'mount.unmount': {'place': SHARE['place'], 'number': 40},
    'multipathd.daemon_status': {},
    'multipathd.paths': {},
    'multipathd.paths_as': {'layout': '%d %w'},
    'multipathd.path_states': {'disks': ('sda',)},
    'multipathd.maps_as': {'layout': '%w|%Q'},
    'multipathd.devices': {},
    'multipathd.reconfigure': {},
    'multipathd.add_path': {'disk': 'sda'},
    'multipathd.add_map': {'wwid': '36001405'},
    'multipathd.remove_path': {'disk': 'sda'},
    'multipathd.remove_paths': {'disks': (('sda', 1),)},
    'multipathd.remove_map': {
        'wwid': '36001405',
        'name': 'mpatha',
        'parts': ('part1-mpath-36001405',),
    },
    'multipathd.resize_map': {'name': 'mpatha'},
    'multipathd.disable_queueing': {'name': 'mpatha'},
    'nvme.load_fabrics': {},
    'nvme.connect': {'options': OPTIONS, 'tls': None},
    'nvme.delete': {'controller': 'nvme0', 'nqn': OPTIONS['nqn'], 'cntlid': '1', 'number': 1},
    'nvme.rescan': {'controller': 'nvme0'},
    'nvme.set_loss_timeout': {'controller': 'nvme0', 'seconds': 60},
    'nvme.set_io_policy': {'subsystem': 'nvme-subsys0', 'policy': 'numa'},
    'nvme_namespace.identify': {'controller': 'nvme0', 'nsid': 1},
    'nvme_namespace.read_and_identify': {'device': 'nvme0n1', 'controller': 'nvme0', 'nsid': 1},
    'nvme_namespace.flush': {
        'device': 'nvme0n1',
        'number': 0,
        'paths': (('nvme0', 1, UUID, '', ''),),
        'unless_open': ('nvme0n1',),
        'flush_seconds': 1.0,
    },
    'nvmeof.create_hostnqn': {'system_uuid': UUID},
    'nvmeof.create_hostid': {'uuid': UUID},
    'nvmeof.get_system_uuid': {},
    'rbd.add': {
        'monitors': ('10.0.0.1:6789',),
        'user': 'cinder',
        'cluster': 'ceph',
        'secret': 'AQAAAAAAAAAAABAAZ2VoZWltIDQ3MTEgaGVyZQ==',
        'image': ('rbd', 'v1', '', ''),
        'mark': 'os-brick-map-01234567',
        'read_only': False,
    },
    'rbd.configurations': {},
    'rbd.remove': {'number': 0, 'identity': ('a', '1', '', 'b', '2'), 'force': False},
    'rbd.refresh': {'number': 0, 'identity': ('a', '1', '', 'b', '2')},
    'rbd.remove_old_conf': {'path': '/tmp/brickrbd_a'},
    'scaleio.get_guid': {'op_code': 0x610E},
    'scaleio.rescan_vols': {'op_code': 0x610A},
    'scaleio.get_connector_username_password': {
        'filename': powerflex.CONNECTOR_CONF,
        'config_group': 'one',
        'failed_over': False,
    },
    'scsi.scan': {'host': 3, 'channel': 0, 'target': 0, 'lun': 2},
    'scsi.rescan': {'disk': 'sda'},
    'scsi.delete': {'disk': 'sda', 'number': 0},
    'scsi.delete_at': {'address': '3:0:0:1', 'number': 0},
    'scsi.set_running': {'address': '3:0:0:1', 'number': 0},
    'scsi.identity_pages': {'address': '3:0:0:1'},
    'scsi.identity_pages_of': {'addresses': ('3:0:0:1',)},
    'scsi.delete_all': {'disks': (('sda', 0),)},
    'scsi_known.flush': {'device': 'sda', 'number': 0, 'units': (('3:0:0:1', b'', b''),)},
    'scsi_known.flush_known': {
        'device': 'sda',
        'number': 0,
        'units': (('3:0:0:1', b'', b''),),
        'above': '',
    },
    'scsi_known.prove': {'device': 'sda', 'above': '', 'addresses': ('3:0:0:1',)},
    'scsi_known.rescan_known': {
        'disk': 'sda',
        'number': 0,
        'unit': ('3:0:0:1', b'', b''),
        'above': '',
    },
    'scsi_removal.forget_unclaimed': {'disk': 'sda', 'number': 0},
    'scsi_removal.delete': {'disks': (('sda', 0),), 'gone': ('36001405',)},
    'wwids.add': {'wwid': '36001405'},
    'wwids.remove': {'wwid': '36001405'},
    'zfcp.rescan_ports': {'device': ZFCP['device']},
    'zfcp.add_unit': ZFCP,
    'zfcp.remove_unit': ZFCP,
}

# Names that their owners allow: hostile ones among them are taken, and do no harm.
RULES = {
    'wwids.add': names.WWID,
    'luks_states.load': names.WWID_TEXT,
    'luks_states.save': names.WWID_TEXT,
    'wwids.remove': names.WWID,
    'wwid': names.WWID,
    'gone': names.WWID,
    'above': names.Rule('WWID, or nothing', re.compile(f'({names.WWID.pattern.pattern})?'), 127),
    'config_group': powerflex.CONFIG_GROUP,
    'iface': names.IFACE,
    'address': names.HOST_NAME,
    'host_nqn': names.HOST_NQN,
    'name': names.MAP,
    'alias': names.MD_ALIAS,
    'passphrase': names.Rule('passphrase', re.compile(r'[^\ud800-\udfff]+'), 8192),
}
# These say in the log that they refuse; mdadm itself compares the UUID on each member.
# What no header has as its token is not an error for one that is to be forgotten.
QUIET = {
    'luks_format.drop_header',
    'nvmeof.create_hostnqn',
    'nvmeof.create_hostid',
    'mdadm.assemble',
}

TEXTS = [
    *('', '\0', 'sda\0', 'sda\nsdb', '\n', '-option', '--all', '-', '../sda', '/etc/passwd'),
    *('/dev/disk/by-id/../../../etc/passwd', 'sda/../vda', '.', '..', '*', '$(id)', ';', ' sda'),
    *('x' * 100_000, '\udcff', 'a,b', '"', '`id`'),
]
# The system's own, and what is not a block device; for parameters that name a device.
SYSTEM = ['vda', 'null', 'watchdog', 'tty', 'kmsg', 'mem', 'port', 'mapper/control', 'dm-99']
# Questions about them are allowed.
ALLOWED = [*SYSTEM, *((each,) for each in SYSTEM)]
WRONG_TYPES = [None, True, 1.5, -1, 2**70, b'sda', ['sda'], {'sda': 1}, ('sda',), object()]
NUMBERS = [-1, 2**64, 2**200, 1.5, '1', '1 2', '- - -', None, True, b'1', [1]]

REFUSALS = (
    *(exception.InvalidParameterValue, PermissionError, FileNotFoundError, OSError),
    *(exception.VolumeIdentityMismatch, processutils.ProcessExecutionError),
)
DEVICES = {'device', 'devices', 'disk', 'disks', 'controller', 'array', 'subsystem'}


def _functions() -> Iterator[tuple[str, Callable[..., Any]]]:
    for info in pkgutil.iter_modules(privileged.__path__):
        module = importlib.import_module(f'{privileged.__name__}.{info.name}')
        for name, function in vars(module).items():
            is_own = getattr(function, '__module__', '') == module.__name__
            if is_own and hasattr(function, 'privsep_entrypoint') and name != 'execute_root':
                yield f'{info.name}.{name}', function


FUNCTIONS = dict(_functions())


def _hostile(name: str, valid: Any) -> Iterator[Any]:
    """Values in the place of a valid one, of its own kind and of others."""
    if isinstance(valid, bool):
        return
    if isinstance(valid, (int, float)):
        yield from NUMBERS
    elif isinstance(valid, tuple):
        yield from _hostile_tuples(name, valid[0])
    elif isinstance(valid, dict):
        yield from ({text: 'x'} for text in TEXTS)
        for value in ('\n', 'a\nb = c', '\0', 'x' * 100_000, None, 7, b'x'):
            yield from ({**valid, key: value} for key in valid)
        yield from (None, 7, 'x', ())
    else:
        yield from (*TEXTS, *(SYSTEM if name in DEVICES else []), *WRONG_TYPES)


def _hostile_tuples(name: str, item: Any) -> Iterator[Any]:
    if isinstance(item, tuple):
        for place, part in enumerate(item):
            for value in _hostile(name, part):
                yield ((*item[:place], value, *item[place + 1 :]),)
    else:
        yield from ((value,) for value in _hostile(name, item))
    yield from (None, 7, (None,), ((),), (item,) * 10_000)


@pytest.fixture
def host(tmp_path: pathlib.Path) -> Iterator[fake_host.Host]:
    """A host with a session and its disk sda, the system's own vda, and an operator's record."""
    with fake_host.Host(tmp_path) as found:
        target = found.target()
        target.luns[1] = array.Unit()
        session = found.log_in(target, target.portals[0])
        found.tree.file(f'/sys/class/scsi_host/host{session.host}/scan', '0 0 1')
        found.snapshot()
        system = '/sys/devices/pci0000:00/0000:00:04.0/virtio1'
        found.tree.directory(f'{system}/block/vda')
        for place in ('/sys/block', '/sys/class/block'):
            found.tree.link(f'{place}/vda', f'{system}/block/vda')
        for name in ('vda', 'null', 'watchdog', 'tty', 'kmsg', 'mem', 'port'):
            found.tree.file(f'/dev/{name}', b'the system')
        found.tree.file('/etc/passwd', 'root')
        found.tree.file(f'/var/lib/iscsi/nodes/{IQN}/127.0.0.9,3260', 'an operator\n')
        yield found


@pytest.fixture
def programs(host: fake_host.Host) -> Iterator[list[tuple[str, ...]]]:
    """What was started; programs that the fake host does not know fail."""
    started: list[tuple[str, ...]] = []

    class Runner:
        isolated = host.isolated

        @staticmethod
        def run(argv: tuple[str, ...], **keywords: Any) -> process.Result:
            started.append(argv)
            if argv[0] == 'iscsiadm':
                return host.run(argv, **keywords)
            return process.Result(argv, 1, '', 'unknown')

    with process.use(Runner()):
        yield started


def _call(function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    parameters = inspect.signature(function).parameters
    if 'timeout' in parameters:
        arguments = {'timeout': 5.0, **arguments}
    starred = [n for n, p in parameters.items() if p.kind is p.VAR_POSITIONAL]
    words = [arguments[name] for name in starred]
    return function(*words, **{n: v for n, v in arguments.items() if n not in starred})


def _state(host: fake_host.Host) -> tuple[object, ...]:
    # The directory for links, and the one for records, may be made.
    tree = {path: text for path, text in host.tree.snapshot().items() if text != '/'}
    return tree, sorted(host.disks), sorted(host.maps), len(host.flushes), sorted(host.sessions)


def test_a_valid_call_of_each_is_known() -> None:
    assert FUNCTIONS.keys() == VALID.keys()
    for name, arguments in VALID.items():
        parameters = set(inspect.signature(FUNCTIONS[name]).parameters)
        assert parameters - {'timeout', 'no_errors', 'raise_at_end'} == set(arguments), name


@pytest.mark.parametrize('name', [name for name, arguments in VALID.items() if arguments])
def test_hostile_arguments(
    host: fake_host.Host, programs: list[tuple[str, ...]], name: str
) -> None:
    before = _state(host)
    for parameter, valid in VALID[name].items():
        rule = RULES.get(name) or RULES.get(parameter)
        for value in _hostile(parameter, valid):
            one = value[0] if isinstance(value, tuple) and len(value) == 1 else value
            if rule and isinstance(one, str) and rule.why_not(one) is None:
                continue
            programs.clear()
            shown = f'{name}({parameter}={value!r:.60})'
            with contextlib.suppress(*REFUSALS):
                _call(FUNCTIONS[name], {**VALID[name], parameter: value})
                assert name in QUIET or value in ALLOWED or value in ((), {}, None), shown
            assert not [word for argv in programs for word in argv if word == value], shown
            assert _state(host) == before, shown


@pytest.mark.parametrize(
    'name', [n for n, f in FUNCTIONS.items() if 'timeout' in str(inspect.signature(f))]
)
@pytest.mark.parametrize('seconds', [0, -1, 3601, float('nan'), float('inf'), '5', None, True])
def test_hostile_time_limits(host: fake_host.Host, name: str, seconds: object) -> None:
    before = _state(host)
    with pytest.raises((*REFUSALS, exception.BrickException)):
        _call(FUNCTIONS[name], {**VALID[name], 'timeout': seconds})
    assert _state(host) == before
    assert files.read_or('/etc/passwd') == 'root'
