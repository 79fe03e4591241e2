# SPDX-License-Identifier: Apache-2.0
"""A service forks its workers at any moment: what a thread of the parent holds then is free there.

The child has one thread. A lock that another thread of the parent held at the time of the fork is
held in the child's copy of the memory for ever.
"""

import pathlib
import subprocess
import sys

import pytest

# Holds, at the time of a fork, every lock that a module of ours has, and those of a volume; prints
# which of them are not free in the child.
LOCKS = """
import importlib, os, pkgutil, sys, threading
from oslo_config import cfg
import os_brick
from os_brick import opts
from os_brick.core import forked, locks, wait

for module in pkgutil.walk_packages(os_brick.__path__, 'os_brick.'):
    if not module.name.startswith('os_brick.observers.'):  # They need libraries that are optional.
        importlib.import_module(module.name)
cfg.CONF.set_override('lock_path', sys.argv[1], group='os_brick')
KINDS = type(threading.Lock()), type(threading.RLock()), threading.Condition, threading.Semaphore

def held_by_modules():
    return {
        f'{name}.{key}': value._lock if isinstance(value, forked.Guard) else value
        for name, module in list(sys.modules.items())
        if name.startswith('os_brick.')
        for key, value in vars(module).items()
        if isinstance(value, (*KINDS, forked.Guard))
    }

before = held_by_modules()
assert len(before) > 2, before
is_held, may_end = threading.Event(), threading.Event()

def hold():
    for lock in set(before.values()):
        lock.acquire()
    is_held.set()
    may_end.wait()

def hold_volume():
    with locks.hold(locks.VOLUME, 'v', wait.Deadline.after(5)):
        volume_held.set()
        may_end.wait()

volume_held = threading.Event()
threading.Thread(target=hold_volume, daemon=True).start()
assert volume_held.wait(10)
threading.Thread(target=hold, daemon=True).start()
assert is_held.wait(10)
pid = os.fork()
if pid == 0:
    stuck = [name for name, lock in held_by_modules().items() if not lock.acquire(timeout=0.2)]
    print('stuck', stuck, flush=True)
    os._exit(0)
os._exit(os.waitpid(pid, 0)[1])  # An ordinary exit would want the locks.
"""

# A volume is locked while the process forks; the parent lets go, and the child takes the lock.
VOLUME = """
import os, sys, threading
from oslo_config import cfg
from os_brick import opts
from os_brick.core import locks, wait

cfg.CONF.set_override('lock_path', sys.argv[1], group='os_brick')
is_held, may_end = threading.Event(), threading.Event()

def hold():
    with locks.hold(locks.VOLUME, 'v', wait.Deadline.after(5)):
        is_held.set()
        may_end.wait()

thread = threading.Thread(target=hold)
thread.start()
is_held.wait()
ready, tell = os.pipe()
pid = os.fork()
if pid == 0:
    try:
        with locks.hold(locks.VOLUME, 'v', wait.Deadline.after(0.3)):
            print('taken from the parent', flush=True)
    except Exception as error:
        print(type(error).__name__, flush=True)
    os.write(tell, b'.')
    with locks.hold(locks.VOLUME, 'v', wait.Deadline.after(5)):
        print('free', flush=True)
    os._exit(0)
os.read(ready, 1)
may_end.set()
thread.join()
sys.exit(os.waitpid(pid, 0)[1])
"""

# Work goes on in the background of the parent: an exiting child neither stops nor awaits it.
BACKGROUND = """
import os, threading, time
from os_brick.core import background

interrupted = []
work = background.Work(['v'], 'work', lambda: interrupted.append(1))
pid = os.fork()
if pid == 0:
    begun = time.monotonic()
    background._at_exit()
    print(time.monotonic() - begun < 1, interrupted, flush=True)
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
work.end()
"""


def _run(script: str, *words: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', script, *words],
        cwd=pathlib.Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.native
def test_no_module_has_a_lock_that_stays_held(tmp_path: pathlib.Path) -> None:
    assert _run(LOCKS, str(tmp_path)) == ['stuck []']


@pytest.mark.native
def test_a_volume_that_a_thread_of_the_parent_had_locked(tmp_path: pathlib.Path) -> None:
    """The parent keeps it for as long as it wants, and no longer."""
    assert _run(VOLUME, str(tmp_path)) == ['OperationTimedOut', 'free']


@pytest.mark.native
def test_an_exiting_child_leaves_the_work_of_its_parent_alone() -> None:
    assert _run(BACKGROUND) == ['True []']
