# SPDX-License-Identifier: Apache-2.0
"""``python -m os_brick`` is the command ``os-brick``."""

import sys

from os_brick.cmd import main

if __name__ == '__main__':  # A program may import all modules of a package, to look at them.
    sys.exit(main.main())
