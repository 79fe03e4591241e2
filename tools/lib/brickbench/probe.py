# SPDX-License-Identifier: Apache-2.0
"""Runs in a fresh process of a side: prints what the import and the daemon's start needed.

Imports nothing of ours: whatever ``os_brick`` its Python finds is measured.
Usage: probe.py CONFIG_FILE
"""

import json
import sys
import time

# The libraries that both sides use, so that the import's own share is seen.
from oslo_concurrency import lockutils, processutils  # noqa: F401
from oslo_config import cfg
import oslo_context.context  # noqa: F401
import oslo_i18n  # noqa: F401
from oslo_log import log  # noqa: F401
from oslo_privsep import priv_context  # noqa: F401
from oslo_utils import encodeutils, importutils, strutils  # noqa: F401
import tenacity  # noqa: F401


def resident() -> int:
    """KiB of this process."""
    with open('/proc/self/status') as status:
        line = next(line for line in status if line.startswith('VmRSS'))
    return int(line.split()[1])


def main() -> None:
    """Measure, and print one line of JSON."""
    # The processor's time: what else the machine does is not the import's business.
    began, cold = time.process_time(), time.monotonic()
    from os_brick.initiator import connector

    found = {'import': time.process_time() - began, 'memory': resident()}
    cold -= time.monotonic()
    import os_brick

    cfg.CONF([], project='os_brick', default_config_files=[sys.argv[1]])
    if hasattr(os_brick, 'setup'):
        os_brick.setup(cfg.CONF)
    import os_brick.privileged

    began = time.monotonic()
    os_brick.privileged.default.start()
    found['daemon'] = time.monotonic() - began
    # What a service asks first, of the daemon too.
    connector.get_connector_properties(None, '10.0.0.1', multipath=False, enforce_multipath=False)
    found['cold'] = time.monotonic() - began - cold
    os_brick.privileged.default.stop()
    print(json.dumps(found))


if __name__ == '__main__':
    main()
