# SPDX-License-Identifier: Apache-2.0
"""Processes of services: run as a service is deployed, told and heard by lines."""

from collections.abc import Sequence
import json
import os
import pathlib
import subprocess
import sys
import threading
from typing import Any

from tests import breadth
from tests.functional import lab

HERE = pathlib.Path(__file__).parent / 'services'
# Services and what they need, made by services/make.sh; unpacked for the first test that asks. The
# number goes up with what is in it: a guest may have an older one.
ARCHIVE = pathlib.Path('/mnt/share/services-2.tgz')
SITE = pathlib.Path('/opt/services-2/site')
# The cinder that cinderlib asks for.
SITE23 = SITE.with_name('site23')
IS_HERE = breadth.EVERYTHING and ARCHIVE.exists()
LOCKS = '/run/lock/os-brick'
# Of a whole life; a service that hangs is killed then.
LONGEST_SECONDS = 100.0


def write_config(path: pathlib.Path, locks: str, helper: str = '', more: str = '') -> str:
    """A configuration file of a service; without ``helper`` the root daemon's default command."""
    command = f'helper_command = {helper} --config-file {path}\n' if helper else ''
    path.write_text(
        f'[DEFAULT]\nstate_path = {path.parent}\n{more}\n'
        f'[oslo_concurrency]\nlock_path = {locks}\n[privsep_osbrick]\n{command}'
    )
    return str(path)


class Service:
    """A service's process, one of ``services/*.py``: a line in, a line out.

    :param wrapper: what starts it, before its own command line.
    """

    def __init__(
        self,
        name: str,
        *words: object,
        wrapper: Sequence[str] = (),
        site: Sequence[pathlib.Path] = (),
        **environment: str,
    ) -> None:
        path = f'{HERE}/bin:{os.environ["PATH"]}'
        places = ':'.join(map(str, (lab.bricks.CHECKOUT, *site)))
        self._process = subprocess.Popen(
            [*wrapper, sys.executable, '-P', str(HERE / f'{name}.py'), *map(str, words)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={'PATH': path, 'PYTHONPATH': places, **environment},
        )
        self._limit = threading.Timer(LONGEST_SECONDS, self._process.kill)
        self._limit.start()

    def __enter__(self) -> 'Service':
        return self

    def __exit__(self, *_exc: object) -> None:
        self._limit.cancel()
        self._process.kill()
        self._process.wait()

    def say(self, line: str = '') -> None:
        """Tell it to go on."""
        assert self._process.stdin is not None
        self._process.stdin.write(f'{line}\n')
        self._process.stdin.flush()

    def hear(self, word: str) -> str:
        """The rest of the next line that begins with this word (others are its log)."""
        assert self._process.stdout is not None
        log: list[str] = []
        for line in self._process.stdout:
            if line.startswith(f'{word} '):
                return line.removeprefix(word).strip()
            log.append(line)
        raise AssertionError(f'ended before it said {word}:\n{"".join(log[-60:])}')

    def end(self) -> None:
        """Wait for its end, which is a good one."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(60) == 0

    def live(self, props: Any, check: Any, grow: Any) -> float:
        """The life of one volume in ``life.py``; how long its threads were kept waiting."""
        self.say(json.dumps([props]))
        (info,) = json.loads(self.hear('attached'))
        check(info['path'])
        size = grow(48)
        self.say()
        assert json.loads(self.hear('grown')) == [size]
        self.say()
        waited = float(self.hear('detached'))
        self.end()
        return waited
