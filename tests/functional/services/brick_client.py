# SPDX-License-Identifier: Apache-2.0
"""``cinder`` with the brick client's commands. Usage: brick_client.py WORD …

Release 2.8.0 and cinderclient 9.10 ask for three things that are gone: ``print_dict``, which
cinderclient has elsewhere now; netifaces, which serves ``--nic`` alone and has no wheel for Python
3.13; and ``find_module``, which Python has had no more since 3.12.
"""

import importlib.machinery
import sys
import types

sys.modules['netifaces'] = types.ModuleType('netifaces')
importlib.machinery.FileFinder.find_module = lambda self, name: self.find_spec(name).loader

from cinderclient import shell, shell_utils, utils  # noqa: E402

if not hasattr(utils, 'print_dict'):
    utils.print_dict = shell_utils.print_dict

if __name__ == '__main__':
    shell.main()
