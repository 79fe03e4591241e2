# SPDX-License-Identifier: Apache-2.0
"""What is noted of volumes, and os-brick attach and detach with plans, on the real kernel."""

import json
import subprocess
import sys

from oslo_config import cfg

from os_brick.host import notes
from tests.functional import lab, support
from tests.functional.test_leftovers import kill_at


def _noted():
    """The notes, and what is marked; what other volumes may have left does not count."""
    found = notes.every(cfg.CONF.os_brick.state_path)
    assert found.unread == ()
    return found.notes


def test_a_note_is_there_after_an_attach_and_gone_after_the_detach(shelf, multi, multipathd):
    target = shelf.target('noted', 2)
    volume = support.stamped(shelf, 'noted')
    target.map(1, volume)
    props = target.properties(1, plural=True, volume_id='noted-volume', auth_password='sesame')
    info = multi.connect_volume(props)
    (found,) = [each for each in _noted() if each.volume_id == 'noted-volume']
    assert found.result == info
    assert found.device == support.node(info['path'])
    assert found.identity == info['scsi_wwn']
    assert (found.wanted, found.ready) == (2, 2)
    assert notes.is_running(found.process)
    assert 'sesame' not in repr(found)
    multi.disconnect_volume(props, info)
    assert not [each for each in _noted() if each.volume_id == 'noted-volume']


def test_a_killed_attach_is_marked_with_what_it_has_reached(shelf, multi, multipathd, workers):
    target = shelf.target('marked', 2)
    target.map(1, support.stamped(shelf, 'marked'))
    props = target.properties(1, plural=True, volume_id='marked-volume')
    kill_at(workers, target, props, 'map')
    (found,) = [each for each in _noted() if each.volume_id == 'marked-volume']
    assert not found.is_attached
    assert found.work.operation == 'attach'
    assert found.work.reached in ('build multipath map', 'open path', 'verify identity')
    assert notes.is_running(found.work.process) is False
    multi.disconnect_volume(props, None)
    assert not [each for each in _noted() if each.volume_id == 'marked-volume']


def test_what_is_applied_is_what_was_shown(shelf, multi, multipathd, tmp_path):
    """On the command line: plan, apply, a plan of another host, and a detach by the note."""
    target = shelf.target('planned', 2)
    volume = support.stamped(shelf, 'planned')
    target.map(1, volume)
    data = target.properties(1, plural=True, volume_id='planned-volume')
    props, conf = tmp_path / 'props.json', tmp_path / 'brick.conf'
    props.write_text(json.dumps({'driver_volume_type': 'iscsi', 'data': data}))
    own = cfg.CONF.os_brick
    conf.write_text(f'[os_brick]\nlock_path = {own.lock_path}\nstate_path = {own.state_path}\n')

    def run(*words):
        line = [sys.executable, '-m', 'os_brick', *words, '--config-file', str(conf), '-f', 'json']
        done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)
        found = json.loads(done.stdout or done.stderr.splitlines()[-1])
        assert done.returncode in (0, 3), done.stderr
        return done.returncode, found

    code, plan = run('attach', str(props), '--plan')
    assert code == 0
    assert support.session_count(target.iqn) == 0
    code, attached = run('attach', str(props), '--apply', plan['id'])
    assert (code, attached.get('paths')) == (0, {'wanted': 2, 'ready': 2}), attached
    support.assert_is(attached['device_info']['path'], volume)
    code, refused = run('attach', str(props), '--apply', plan['id'])
    assert (code, refused['error']['code']) == (3, 'plan-outdated')
    code, plan = run('detach', 'planned-volume', '--plan')
    assert (code, support.session_count(target.iqn)) == (0, 2)
    code, _ = run('detach', 'planned-volume', '--apply', plan['id'])
    assert (code, support.session_count(target.iqn)) == (0, 0)
    assert not lab.oracle.records()
