# SPDX-License-Identifier: Apache-2.0
"""For tools that call setup.py; everything that can be is in setup.cfg."""

import configparser
import os
import subprocess

import setuptools


def _number_a_clone_of_one_commit() -> None:
    """Have pbr not take a clone of depth 1 for version 0.0.0, which nobody's requirements allow.

    pbr counts the commits before HEAD; with none it forgets the version of setup.cfg.
    """
    if not os.path.exists('.git') or os.path.exists('PKG-INFO') or 'PBR_VERSION' in os.environ:
        return
    git = ['git', 'rev-list', '--count', 'HEAD']
    count = subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
    tags = ['git', 'tag', '--points-at', 'HEAD']
    tag = subprocess.run(tags, capture_output=True, text=True, check=False).stdout.strip()
    if count == '1' and not tag:
        setup = configparser.ConfigParser()
        setup.read('setup.cfg')
        os.environ['PBR_VERSION'] = f'{setup["metadata"]["version"]}.dev1'


_number_a_clone_of_one_commit()
setuptools.setup(setup_requires=['pbr>=6.1.1'], pbr=True)
