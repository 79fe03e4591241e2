# SPDX-License-Identifier: Apache-2.0
"""The virtual environment of this machine's side of the tests, kept in the cache."""

import os
import pathlib
import shutil
import subprocess
import sys

from guestlib import hostpackages, metadata, paths, progress, recipe

_REQUIREMENTS = ('requirements.txt', 'test-requirements.txt')
_INSTALL_SECONDS = 1200.0


def python() -> str:
    """The environment's Python, with all requirements; made first if they have changed.

    :raises: progress.Failure
    """
    files = [paths.CHECKOUT / name for name in _REQUIREMENTS]
    version = f'{sys.version_info.major}.{sys.version_info.minor}'
    home = paths.cache() / f'venv-{version}-{recipe.digest([*files, pathlib.Path(__file__)])}'
    complete = home / 'complete'
    if not complete.exists():
        with paths.locked('venv.lock', 'another making of the virtual environment'):
            if not complete.exists():
                _make(home, [path for path in files if path.exists()])
                complete.touch()
    return str(home / 'bin' / 'python')


def environment() -> dict[str, str]:
    """Variables with which that Python finds this checkout."""
    return {**os.environ, 'PYTHONPATH': str(paths.CHECKOUT), 'PBR_VERSION': recipe.VERSION}


def _make(home: pathlib.Path, requirements: list[pathlib.Path]) -> None:
    progress.line(f'making the virtual environment {home.name} once')
    shutil.rmtree(home, ignore_errors=True)
    if not _works('ensurepip'):
        hostpackages.install(['python3-venv'])
    _run([sys.executable, '-m', 'venv', str(home)])
    words = [word for path in requirements for word in ('-r', str(path))]
    _run([str(home / 'bin' / 'python'), '-m', 'pip', 'install', '--quiet', *words])
    metadata.write(next(home.glob('lib/python3*/site-packages')))


def _works(module: str) -> bool:
    return subprocess.run([sys.executable, '-c', f'import {module}'], check=False).returncode == 0


def _run(command: list[str]) -> None:
    environment = {**os.environ, 'PIP_DISABLE_PIP_VERSION_CHECK': '1'}
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_INSTALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise progress.Failure(f'took too long: {" ".join(command)}') from error
    if done.returncode:
        raise progress.Failure(
            f'failed: {" ".join(command)}\n{(done.stdout + done.stderr)[-3000:]}'
        )
