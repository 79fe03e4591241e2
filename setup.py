# SPDX-License-Identifier: Apache-2.0
"""For tools that call setup.py; everything that can be is in setup.cfg."""

import configparser
import os
import subprocess

import setuptools


def _number_without_history() -> None:
    """Give pbr the version of setup.cfg where there is no history to count.

    In a clone of depth 1 pbr says 0.0.0, which no one's requirements allow; in an archive without
    git it fails. A source distribution has its version in PKG-INFO.
    """
    if os.path.exists('PKG-INFO') or 'PBR_VERSION' in os.environ:
        return
    if os.path.exists('.git'):
        commits = _git('rev-list', '--count', 'HEAD')
        if _git('tag', '--points-at', 'HEAD') or commits not in {'', '1'}:
            return
    setup = configparser.ConfigParser()
    setup.read('setup.cfg')
    os.environ['PBR_VERSION'] = f'{setup["metadata"]["version"]}.dev1'


def _git(*words: str) -> str:
    """What git prints; nothing where it is not installed or fails."""
    try:
        done = subprocess.run(['git', *words], capture_output=True, text=True, check=False)
    except OSError:
        return ''
    return done.stdout.strip()


_number_without_history()
setuptools.setup(setup_requires=['pbr>=6.1.1'], pbr=True)
