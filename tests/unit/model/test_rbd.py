# SPDX-License-Identifier: Apache-2.0
"""Names of images, monitors, keyrings and configuration files of Ceph."""

import base64
import struct

from hypothesis import given
from hypothesis import strategies as st
import pytest

from os_brick.model import addresses, names, rbd_mark
from os_brick.model import rbd as model

SECRET = 'AQAAAAAAAAAAABAAZ2VoZWltIDQ3MTEgaGVyZQ=='
NAMES = st.text(st.characters(codec='utf-8', exclude_characters='/@'), min_size=1, max_size=20)


@given(st.lists(NAMES, min_size=2, max_size=3), st.none() | NAMES)
def test_an_image_is_written_as_it_is_read(parts: list[str], snapshot: str | None) -> None:
    text = '/'.join(parts) + (f'@{snapshot}' if snapshot else '')
    if any(names.RBD.why_not(part) for part in filter(None, (*parts, snapshot))):
        with pytest.raises(ValueError, match='is not a valid name'):
            model.Image.parse(text)
        return
    image = model.Image.parse(text)
    assert str(image) == text
    assert model.Image.parse(str(image)) == image


@pytest.mark.parametrize(
    ('text', 'found'),
    [
        ('10.0.0.1', ['10.0.0.1:6789']),
        ('10.0.0.1:6790,10.0.0.2', ['10.0.0.1:6790', '10.0.0.2:6789']),
        ('10.0.0.1; 10.0.0.2 ,mon-a', ['10.0.0.1:6789', '10.0.0.2:6789', 'mon-a:6789']),
        ('[fd00::1]:6789, fd00::2', ['[fd00::1]:6789', '[fd00::2]:6789']),
        ('[v2:10.0.0.1:3300/0,v1:10.0.0.1:6789/0]', ['10.0.0.1:6789']),
        (
            '[v2:10.0.0.1:3300/0,v1:10.0.0.1:6789/0] [v2:[fd00::2]:3300/0,v1:[fd00::2]:6789/0]',
            ['10.0.0.1:6789', '[fd00::2]:6789'],
        ),
        ('v2:10.0.0.1:3300', ['10.0.0.1:3300']),
        ('[v2:[fd00::2]:3300]', ['[fd00::2]:3300']),
        ('v1:10.0.0.1,nonsense!,10.0.0.300', ['10.0.0.1:6789']),
        ('', []),
    ],
)
def test_monitors(text: str, found: list[str]) -> None:
    assert [str(each) for each in model.monitors_of(text)] == found


@pytest.mark.parametrize(
    ('text', 'monitors', 'mark'),
    [
        ('10.0.0.1:6789 name=a,key=os-brick-map-00ff00ff,ro rbd v1 -\n', ['10.0.0.1:6789'],
         'os-brick-map-00ff00ff'),
        ('10.0.0.1:6789,[fd00::1]:6789 name=a,key=client.a rbd v1 s',
         ['10.0.0.1:6789', '[fd00::1]:6789'], 'client.a'),
        (f'10.0.0.1 name=a,secret={SECRET} rbd v1 -', ['10.0.0.1:6789'], ''),
        (f'10.0.0.1 mount_timeout=30 rbd v1{rbd_mark.blanks_of("os-brick-probe-00ff00ff")}s\n',
         ['10.0.0.1:6789'], 'os-brick-probe-00ff00ff'),
        # Blanks say nothing where there is a key.
        (f'10.0.0.1 key=client.a rbd v1{rbd_mark.blanks_of("os-brick-map-00ff00ff")}s',
         ['10.0.0.1:6789'], 'client.a'),
        ('', [], ''),
    ],
)  # fmt: skip
def test_what_the_kernel_was_told(text: str, monitors: list[str], mark: str) -> None:
    found = model.Configuration.parse(text)
    assert sorted(map(str, found.monitors)) == monitors
    assert found.mark == mark
    assert SECRET not in repr(found)


@given(st.text(max_size=200))
def test_any_text_is_read(text: str) -> None:
    model.Configuration.parse(text)
    model.monitors_of(text)
    model.settings(text, ['global'])


CONF = """\
# of the operator
[global]
fsid = 4711   ; a comment
mon host = 10.0.0.1
[client]
  keyring = /etc/ceph/$cluster.$name.key, "/srv/$id"
[client.cinder]
key="{secret}"
mon-host = 10.0.0.2
"""


def test_settings() -> None:
    text = CONF.format(secret=SECRET)
    assert model.settings(text, ['global'])['fsid'] == '4711'
    assert model.settings(text, ['global', 'client.cinder'])['mon_host'] == '10.0.0.2'
    assert model.settings(text, ['mon']) == {}
    assert model.secret_of(text, 'cinder') == SECRET
    assert model.keyring_places('gold', 'cinder', text) == (
        '/etc/ceph/gold.client.cinder.key',
        '/srv/cinder',
    )
    assert model.keyring_places('gold', 'cinder', '')[0] == '/etc/ceph/gold.client.cinder.keyring'


@given(st.binary(min_size=1, max_size=64))
def test_a_secret(data: bytes) -> None:
    whole = struct.pack('<HIIH', 1, 0, 0, len(data)) + data
    text = base64.b64encode(whole).decode()
    assert model.key_data(text) == whole
    conf = model.conf([addresses.Portal('fd00::1', 6789)], 'cinder', text)
    assert conf.splitlines()[:2] == ['[global]', 'mon_host = [fd00::1]:6789']
    assert model.secret_of(conf, 'cinder') == text


@pytest.mark.parametrize('text', ['', 'geheim', SECRET[:-8], SECRET[:-8] + 'AA==', SECRET + 'AAAA'])
def test_what_is_not_a_secret_is_not_shown(text: str) -> None:
    with pytest.raises(ValueError, match=r'key') as caught:
        model.secret_of(f'[client.cinder]\nkey = {text}', 'cinder')
    assert not text or text not in str(caught.value)
