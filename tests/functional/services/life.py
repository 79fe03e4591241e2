# SPDX-License-Identifier: Apache-2.0
"""Volumes attached by as many threads at once, by the public calls that services make.

Usage: life.py CONFIG_FILE PROTOCOL MULTIPATH MODE, with a list of properties in JSON on stdin. A
CONFIG_FILE of ``-`` is none. MODE is ``client``, or ``here`` for root in this process; after
``green-`` eventlet patches the process. The last line says for how many seconds at most another
thread was kept waiting.
"""

import concurrent.futures
import json
import sys
import threading
import time

MODE = sys.argv[4]
if MODE.startswith('green-'):
    import eventlet

    eventlet.monkey_patch()

from oslo_concurrency import lockutils  # noqa: E402, F401
from oslo_config import cfg  # noqa: E402

import os_brick  # noqa: E402
from os_brick.initiator import connector  # noqa: E402
import os_brick.privileged  # noqa: E402

longest = 0.0


def beat():
    global longest
    while True:
        before = time.monotonic()
        time.sleep(0.01)
        longest = max(longest, time.monotonic() - before)


def say(*words):
    sys.stdout.write(' '.join(map(str, words)) + '\n')
    sys.stdout.flush()


def main():
    path, protocol, multipath = sys.argv[1:4]
    if path != '-':
        cfg.CONF([], project='os_brick', default_config_files=[path])
        os_brick.setup(cfg.CONF)
    if MODE.endswith('here'):
        os_brick.privileged.default.set_client_mode(False)
    options = {'do_local_attach': True} if protocol == 'RBD' else {}
    brick = connector.InitiatorConnector.factory(
        protocol, None, use_multipath=multipath == 'True', device_scan_attempts=3, **options
    )
    everything = json.loads(sys.stdin.readline())
    pool = concurrent.futures.ThreadPoolExecutor(64)
    threading.Thread(target=beat, daemon=True).start()
    infos = list(pool.map(brick.connect_volume, everything))
    say('attached', json.dumps(infos))
    sys.stdin.readline()
    say('grown', json.dumps(list(pool.map(brick.extend_volume, everything))))
    sys.stdin.readline()
    list(pool.map(brick.disconnect_volume, everything, infos))
    say('detached', round(longest, 3))


if __name__ == '__main__':
    main()
