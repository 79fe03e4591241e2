# SPDX-License-Identifier: Apache-2.0
"""``python -m os_brick`` is the command ``os-brick``."""

import sys

from os_brick.cmd import main

sys.exit(main.main())
