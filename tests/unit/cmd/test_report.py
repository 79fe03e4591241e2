# SPDX-License-Identifier: Apache-2.0
"""``os-brick report``: planted secrets are not in the bundle, in whatever file they stood."""

import base64
import gzip
import json
import pathlib
import stat
import tarfile
from typing import Any
import urllib.parse

import pytest

from os_brick.cmd import main
from os_brick.doctor import collect
from tests.unit.doctor.conftest import Ward, ward  # noqa: F401 a fixture

Capture = pytest.CaptureFixture[str]

CHAP, CHAP_IN, DISCOVERY = 'chap-S3cret!one', 'in/S3cret+two', 'disc S3cret three'
DATABASE, RABBIT, HELPER = 'db-S3cret-4', 'rb%40-S3cret-5', 'helper-S3cret-6'
DHCHAP = 'DHHC-1:00:ia6zGodOr4SEG0Zzaw398rpY0wqipUWj4jWjUh4HWUz6aQ2n:'
TLS = 'NVMeTLSkey-1:01:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:'
CEPH = base64.b64encode(b'\x01\x00' + bytes(26)).decode()
ARGV, QEMU, KERNEL, LOGGED = (
    'argv-S3cret-7',
    'cWVtdS1TM2NyZXQtOA==',
    'boot-S3cret-9',
    'log-S3cret-10',
)
MULTIPATH, NOTE, PEM = 'mp-S3cret-11', 'note-S3cret-12', 'MIIEvQIBADANBgkqhkiG9w0BAQEFAASC'
TOKEN, HEADER = 'gAAAAABnS3cret13', 'hdr-S3cret-14'
SECRETS = (
    *(CHAP, CHAP_IN, DISCOVERY, DATABASE, RABBIT, HELPER, DHCHAP, TLS, CEPH, ARGV, QEMU, KERNEL),
    *(LOGGED, MULTIPATH, NOTE, PEM, TOKEN, HEADER),
)


@pytest.fixture(autouse=True)
def _as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('os.geteuid', lambda: 0)


def plant(ward: Ward) -> None:  # noqa: F811
    """Each secret where it belongs, and again in a log, where nothing tells that it is one."""
    tree = ward.host.tree
    for path in list(tree.at('/var/lib/iscsi/nodes').rglob('*')):
        if path.is_file():
            text = path.read_text() + f'node.session.auth.password = {CHAP}\n'
            path.write_text(text + f'node.session.auth.password_in = {CHAP_IN}\n')
    tree.file(
        '/etc/iscsi/send_targets/10.0.0.1,3260/st_config',
        f'discovery.sendtargets.auth.password = {DISCOVERY}\n',
    )
    tree.file('/etc/iscsi/iscsid.conf', f'node.session.auth.password = {CHAP}\n')
    tree.file(
        '/etc/multipath.conf', f'defaults {{\n  password "{MULTIPATH}"\n  token={TOKEN}\n}}\n'
    )
    tree.file('/etc/nvme/config.json', json.dumps([{'dhchap_key': DHCHAP, 'tls_key': TLS}]))
    tree.file(
        '/etc/nova/nova.conf',
        f'[database]\nconnection = mysql+pymysql://nova:{DATABASE}@10.0.0.9/nova\n'
        f'[DEFAULT]\ntransport_url = rabbit://nova:{RABBIT}@10.0.0.9:5672/\nmy_ip = 10.0.0.5\n'
        f'[os_brick]\nlock_path = /var/lock/os-brick\n'
        f'[privsep_osbrick]\nhelper_command = sudo helper --password {HELPER}\n',
    )
    tree.file('/proc/cmdline', f'root=/dev/vda1 netroot=iscsi:user:{KERNEL}@10.0.0.1::3260::x\n')
    ward.around.process(8000, 'iscsiadm')
    tree.file('/proc/8000/cmdline', f'iscsiadm\0-n\0node.session.auth.password\0-v\0{ARGV}\0')
    ward.around.process(8001, 'qemu-system-x86')
    tree.file(
        '/proc/8001/cmdline',
        f'qemu-system-x86_64\0-object\0secret,id=m0,format=base64,data={QEMU}\0-name\0instance-1\0',
    )
    lines = [
        f'os_brick: password={LOGGED} of iscsi',
        f'os_brick: {{"auth_password": "{NOTE}", "target_lun": 1}}',
        f'os_brick: keyring [client.cinder] key = {CEPH}',
        f'os_brick: X-Auth-Token: {TOKEN}, Authorization: Bearer {HEADER}',
        # Here nothing tells that they are secrets: they have been seen elsewhere.
        *(f'iscsi says {each}' for each in SECRETS if each not in (DATABASE, RABBIT, PEM)),
        f'os_brick: url {urllib.parse.quote(CHAP_IN, safe="")} and "{CHAP}"',
    ]
    tree.file('/var/log/nova/nova-compute.log', '\n'.join(lines) + '\n')
    tree.file(
        '/etc/modprobe.d/x.conf',
        f'-----BEGIN RSA PRIVATE KEY-----\n{PEM}\n-----END RSA PRIVATE KEY-----\n{PEM}\n',
    )


def report(tmp_path: pathlib.Path, capsys: Capture, *more: str) -> tuple[int, dict[str, Any]]:
    place = tmp_path / 'bundle'
    place.mkdir(exist_ok=True)
    name = place / f'{len(list(place.iterdir()))}.tar.gz'
    code = main.main(['report', '-o', str(name), '-f', 'json', *more])
    return code, json.loads(capsys.readouterr().out)


@pytest.fixture
def real_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundle is written on this machine, not on the fake host."""
    from os_brick.cmd import report as command

    def write(path: str, data: bytes, mode: int) -> None:
        place = pathlib.Path(path)
        place.touch(mode)
        place.write_bytes(data)

    monkeypatch.setattr(command.atomic, 'replace', write)


def members(path: str) -> dict[str, str]:
    with tarfile.open(path) as archive:
        files = [each for each in archive if each.isfile()]
        assert all(each.mode == 0o600 for each in files)
        return {
            each.name.partition('/')[2]: archive.extractfile(each).read().decode()  # type: ignore[union-attr]
            for each in files
        }


def test_no_secret_is_in_the_bundle(
    ward: Ward,  # noqa: F811
    tmp_path: pathlib.Path,
    capsys: Capture,
    real_place: None,
) -> None:
    plant(ward)
    _code, found = report(tmp_path, capsys)
    whole = members(found['file'])
    raw = gzip.decompress(pathlib.Path(found['file']).read_bytes())
    for secret in SECRETS:
        for spelled in {
            secret,
            urllib.parse.quote(secret, safe=''),
            secret.lower(),
            json.dumps(secret)[1:-1],
        }:
            where = [name for name, text in whole.items() if spelled in text]
            assert not where, (spelled, where)
            assert spelled.encode() not in raw
    assert 'S3cret' not in json.dumps(whole)
    # What is not a secret is there.
    assert 'my_ip = 10.0.0.5' in whole['etc/nova/nova.conf']
    assert 'instance-1' in whole['processes']
    assert ward.target.iqn in whole['sys/class/iscsi_session.txt']
    assert 'os_brick: password=***' in whole['var/log/nova/nova-compute.log']
    assert json.loads(whole['doctor.json'])['checks']
    assert 'dm-0' in whole['inventory.json']


def test_the_file_is_its_owners_alone(
    ward: Ward,  # noqa: F811
    tmp_path: pathlib.Path,
    capsys: Capture,
    real_place: None,
) -> None:
    code, found = report(tmp_path, capsys)
    assert code in (0, 3)
    assert stat.S_IMODE(pathlib.Path(found['file']).stat().st_mode) == 0o600


def test_nothing_is_written_over(tmp_path: pathlib.Path, ward: Ward, capsys: Capture) -> None:  # noqa: F811
    ward.host.tree.file('/root/there.tar.gz', 'mine')
    assert main.main(['report', '-o', '/root/there.tar.gz']) == 64
    assert 'is there already' in capsys.readouterr().err


def test_a_bundle_has_a_limit(
    ward: Ward,  # noqa: F811
    tmp_path: pathlib.Path,
    capsys: Capture,
    real_place: None,
) -> None:
    ward.host.tree.file('/etc/multipath.conf', 'a line of multipath.conf\n' * 200_000)
    ward.host.tree.file('/var/log/syslog', 'iscsi: x\n' * 2_000_000)
    _code, found = report(tmp_path, capsys)
    whole = members(found['file'])
    assert all(len(text) <= collect.LARGEST_FILE_BYTES + 10 for text in whole.values())
    assert found['bytes'] < 2 << 20


def test_what_cannot_be_read_is_listed(
    ward: Ward,  # noqa: F811
    tmp_path: pathlib.Path,
    capsys: Capture,
    real_place: None,
) -> None:
    ward.host.multipathd_runs = False
    ward.host.fail(0, 'hung from here')
    code, found = report(tmp_path, capsys, '--timeout', '20')
    assert code == 3
    assert '/processes' in {each['what'] for each in found['missing']}
    assert 'doctor.json' in members(found['file'])
