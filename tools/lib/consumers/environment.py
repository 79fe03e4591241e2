# SPDX-License-Identifier: Apache-2.0
"""One virtual environment a consumer, with the reference in it, kept in the cache."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import shutil
import subprocess
import sys

CHECKOUT = pathlib.Path(__file__).resolve().parents[3]
REFERENCE = 'os-brick==7.1.1'

# What the tests of OpenStack projects import, beyond what the projects need themselves.
_TOOLS = (
    *('fixtures', 'testtools', 'testscenarios', 'ddt', 'oslotest', 'requests-mock', 'stestr'),
    *('PyMySQL', 'psycopg2-binary', 'wsgi-intercept', 'osprofiler', 'openstacksdk', 'oslo.vmware'),
)
_INSTALL_SECONDS = 3600


@dataclasses.dataclass(frozen=True, slots=True)
class Consumer:
    """A release of a consumer.

    :ivar name: its name in the package index.
    :ivar package: what it is imported as.
    """

    name: str
    version: str
    package: str
    extras: str = ''

    @property
    def requirement(self) -> str:
        return f'{self.name}{self.extras}=={self.version}'


CONSUMERS = (
    Consumer('python-brick-cinderclient-ext', '2.8.0', 'brick_cinderclient_ext'),
    Consumer('glance_store', '5.7.0', 'glance_store', '[test,cinder]'),
    Consumer('cinderlib', '5.2.0', 'cinderlib'),
    Consumer('nova', '34.0.0', 'nova'),
    Consumer('cinder', '29.0.0', 'cinder'),
)


class Failure(Exception):
    """An environment cannot be made."""


@dataclasses.dataclass(frozen=True, slots=True)
class Environment:
    """Where a consumer is installed."""

    consumer: Consumer
    home: pathlib.Path

    @classmethod
    def of(cls, consumer: Consumer) -> Environment:
        """The environment of a consumer, made if there is none yet.

        :raises Failure: if it cannot be made.
        """
        made = cls(consumer, cache() / f'{consumer.name}-{consumer.version}')
        if not (made.home / 'ok').exists():
            made._make()
        return made

    @property
    def python(self) -> str:
        return str(self.home / 'venv' / 'bin' / 'python')

    @property
    def package(self) -> pathlib.Path:
        """Where the consumer's code lies."""
        return next(self.home.glob(f'venv/lib/python3*/site-packages/{self.consumer.package}'))

    def variables(self, directory: str, *, ours: bool) -> dict[str, str]:
        """The variables of a process that imports this checkout's os_brick, or the reference.

        :param directory: the process's own, for a link.
        """
        found = {
            **{name: value for name, value in os.environ.items() if name != 'PYTHONPATH'},
            'OS_STDOUT_CAPTURE': '1',
            'OS_STDERR_CAPTURE': '1',
            'OS_LOG_CAPTURE': '1',
            'OS_TEST_TIMEOUT': '160',
            'PYTHONDONTWRITEBYTECODE': '1',
            'LC_ALL': 'C.UTF-8',
        }
        if ours:
            found['PYTHONPATH'] = _overlay(directory)
        return found

    def _make(self) -> None:
        print(f'making the environment of {self.consumer.requirement} once', flush=True)
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)
        self._run(sys.executable, '-m', 'venv', str(self.home / 'venv'))
        words = (self.consumer.requirement, REFERENCE, *_TOOLS)
        self._run(self.python, '-m', 'pip', 'install', '--quiet', *words)
        (self.home / 'ok').touch()

    @staticmethod
    def _run(*command: str) -> None:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_INSTALL_SECONDS,
            check=False,
        )
        if done.returncode:
            raise Failure(f'{" ".join(command)}\n{done.stderr[-2000:]}')


def _overlay(directory: str) -> str:
    """A directory with nothing but our package: the checkout has a package ``tests``, too."""
    place = pathlib.Path(directory, 'ours')
    place.mkdir()
    (place / 'os_brick').symlink_to(CHECKOUT / 'os_brick')
    return str(place)


def is_made(consumer: Consumer) -> bool:
    """Whether a consumer's environment is in the cache."""
    return (cache() / f'{consumer.name}-{consumer.version}' / 'ok').exists()


def cache() -> pathlib.Path:
    """The cache directory, made if it is not there."""
    base = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
    directory = pathlib.Path(base, 'os-brick-consumers')
    directory.mkdir(parents=True, exist_ok=True)
    return directory
