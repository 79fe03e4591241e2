# SPDX-License-Identifier: Apache-2.0
"""Run pytest in a process that eventlet has patched, as services do that have not left it yet.

python tools/lib/green.py tests/unit/core
"""

import sys
import warnings

warnings.simplefilter('ignore')

import eventlet  # noqa: E402

eventlet.monkey_patch()

import pytest  # noqa: E402

if __name__ == '__main__':
    # A worker of pytest-xdist would be a process of its own, which is not patched.
    sys.exit(pytest.main(['-p', 'no:xdist', *sys.argv[1:]]))
