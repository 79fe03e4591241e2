# SPDX-License-Identifier: Apache-2.0
"""Connectors to test: ours in this process, ours or the reference in processes of their own."""

from collections.abc import Sequence
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
from typing import Any

from tests.functional.lab import oracle, shell

CHECKOUT = pathlib.Path(__file__).resolve().parents[3]
REFERENCE = '/opt/reference/bin/python'
_WORKER = pathlib.Path(__file__).with_name('worker.py')
_configured: list[pathlib.Path] = []
_overridden: set[str] = set()


class RemoteError(Exception):
    """What a call in a worker raised."""

    def __init__(self, text: str, kinds: list[str], representation: str) -> None:
        super().__init__(f'{kinds[0]}: {text}')
        self.text = text
        self.kinds = kinds
        self.representation = representation


def write_config(
    directory: pathlib.Path, python: str = sys.executable, *, debug: bool = True, **options: object
) -> str:
    """A configuration file for a connector's process; ``options`` go to ``[os_brick]``."""
    locks = directory / 'locks'
    locks.mkdir(parents=True, exist_ok=True)
    if str(locks) not in oracle.lock_paths:
        oracle.lock_paths.append(str(locks))
    path = directory / 'brick.conf'
    helper = pathlib.Path(python).with_name('privsep-helper')
    lines = [f'{name} = {value}' for name, value in ({'lock_path': locks} | options).items()]
    path.write_text(
        f'[DEFAULT]\ndebug = {debug}\n[oslo_concurrency]\nlock_path = {locks}\n'
        '[os_brick]\n' + '\n'.join(lines) + '\n'
        f'[privsep_osbrick]\nhelper_command = {helper} --config-file {path}\n'
    )
    return str(path)


def configure_here(**options: object) -> None:
    """Configure the library in this process, once: lock directory and real privsep daemon."""
    if not _configured:
        directory = pathlib.Path(tempfile.mkdtemp(prefix='lab-ours-'))
        _configured.append(directory)
        # The daemon must import the same library as we do.
        paths = [str(CHECKOUT), os.environ.get('PYTHONPATH', '')]
        os.environ['PYTHONPATH'] = ':'.join(path for path in paths if path)
        if str(CHECKOUT) not in sys.path:
            sys.path.insert(0, str(CHECKOUT))
        from oslo_concurrency import lockutils  # noqa: F401  (registers options)
        from oslo_config import cfg

        import os_brick

        config = write_config(directory)
        cfg.CONF([], project='os_brick', default_config_files=[config])
        os_brick.setup(cfg.CONF)
    from oslo_config import cfg

    for name, value in options.items():
        cfg.CONF.set_override(name, value, group='os_brick')
        _overridden.add(name)


def lock_directory() -> str:
    """The lock directory of this process."""
    configure_here()
    return str(_configured[0] / 'locks')


def reset_here() -> None:
    """Take back every option that ``configure_here`` was given."""
    from oslo_config import cfg

    while _overridden:
        cfg.CONF.clear_override(_overridden.pop(), group='os_brick')


def ours(protocol: str = 'ISCSI', *, multipath: bool = False, **options: Any) -> Any:
    """A connector of ours in this process, made as nova and cinder make it.

    With ``LAB_BRICKS=reference`` in the environment it is the reference's instead: that shows
    which tests can fail.
    """
    if instead_of_ours():
        return StandIn(protocol, multipath=multipath, **options)
    configure_here()
    import os_brick.initiator.connector

    return os_brick.initiator.connector.InitiatorConnector.factory(
        protocol, None, use_multipath=multipath, device_scan_attempts=3, **options
    )


def instead_of_ours() -> bool:
    """Whether the suite runs against the reference."""
    return os.environ.get('LAB_BRICKS') == 'reference'


class StandIn:
    """A connector of the reference, in a process of its own, that looks like one of ours."""

    _nursery: 'Nursery | None' = None

    def __init__(self, protocol: str, **options: Any) -> None:
        if StandIn._nursery is None:
            StandIn._nursery = Nursery(REFERENCE)
        self._worker = StandIn._nursery.spawn()
        self._worker.make(protocol, **options)
        self.transport = options.get('transport', 'default')

    def __getattr__(self, name: str) -> Any:
        def method(*args: object, **keywords: Any) -> Any:
            from os_brick import exception

            try:
                return self._worker.call(name, *args, **keywords)
            except RemoteError as error:
                kinds = (getattr(exception, kind, None) for kind in error.kinds)
                kind = next((kind for kind in kinds if kind), exception.BrickException)
                raise kind(error.text) from error

        if name.startswith('_'):
            raise AttributeError(name)
        return method


class Worker:
    """One process with one connector."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel
        self._reader = channel.makefile('r')
        self.pid = int(self._reader.readline())
        self.elapsed = 0.0

    def _ask(self, seconds: float, **request: object) -> Any:
        self.start(**request)
        return self.finish(seconds)

    def start(self, **request: object) -> None:
        """Send a request without waiting for the answer."""
        self._channel.sendall((json.dumps(request) + '\n').encode())

    def finish(self, seconds: float = 180) -> Any:
        """The answer to a request that was sent.

        :raises RemoteError: if the call raised.
        """
        self._channel.settimeout(seconds)
        line = self._reader.readline()
        if not line:
            raise EOFError(f'worker {self.pid} died')
        reply = json.loads(line)
        self.elapsed = reply['elapsed']
        if 'error' in reply:
            raise RemoteError(reply['error'], reply['kinds'], reply['repr'])
        return reply['result']

    def make(
        self,
        protocol: str = 'ISCSI',
        *,
        multipath: bool = False,
        daemon: bool = True,
        **more: object,
    ) -> None:
        """Make the connector and start its privsep daemon (neither is in later times)."""
        options = {'use_multipath': multipath, 'device_scan_attempts': 3, **more}
        if daemon:
            self._ask(60, do='daemon')
        self._ask(60, do='make', protocol=protocol, options=options)

    def root(self, *, daemon: bool) -> None:
        """Have root functions run in a privsep daemon, which is started, or in the process."""
        self._ask(60, do='daemon' if daemon else 'without_daemon')

    def group(self, name: str, **options: object) -> None:
        """Have a volume group of LVM in the place of the connector, and start the daemon."""
        self._ask(60, do='daemon')
        self._ask(60, do='group', name=name, options=options)

    def call(self, method: str, *args: object, seconds: float = 180, **keywords: object) -> Any:
        """Call one of the connector's methods."""
        return self._ask(seconds, do='call', method=method, args=args, keywords=keywords)

    def many(self, method: str, calls: list[list[Any]], seconds: float = 180) -> list[Any]:
        """Call a method in threads of that process, once for each list of arguments."""
        return list(self._ask(seconds, do='many', method=method, calls=calls))

    def forked(self, method: str, calls: list[list[Any]], seconds: float = 180) -> list[Any]:
        """Call a method in forked children of that process, once for each list of arguments."""
        return list(self._ask(seconds, do='forked', method=method, calls=calls))

    def terminable(self) -> None:
        """Have the process end by an exception at SIGTERM, not at once."""
        self._ask(30, do='terminable')

    def begin(self, method: str, *args: object, **keywords: object) -> None:
        """Start such a call; ``finish`` has its answer."""
        self.start(do='call', method=method, args=args, keywords=keywords)

    def begin_encryption(self, method: str, path: str, provider: str, passphrase: str) -> None:
        """Start a method of an encryptor; ``finish`` has its answer."""
        given = {'path': path, 'provider': provider, 'passphrase': passphrase}
        self.start(do='encryption', method=method, **given)

    def stream(
        self, image: tuple[str, str], conf: str, path: str, chunk: int, *, into: bool
    ) -> None:
        """Copy a file into an image of Ceph (pool and name), or an image to a file."""
        self._ask(300, do='stream', image=image, conf=conf, path=path, chunk=chunk, into=into)

    def properties(self, *, multipath: bool = False, enforce: bool = False) -> dict[str, Any]:
        """What get_connector_properties answers there."""
        answer = self._ask(120, do='properties', multipath=multipath, enforce=enforce)
        return dict(answer)

    def logs(self) -> list[str]:
        """Every line that was logged since the last time, at every level."""
        return list(self._ask(30, do='logs'))

    def kill(self) -> None:
        """kill -9 of the process and of its privsep daemon, as the end of a container does."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        gone = pathlib.Path(f'/proc/{self.pid}')
        shell.until(lambda: not gone.exists(), 10, f'process {self.pid} is gone')
        self.close()

    def close(self) -> None:
        """Let the process end."""
        self._reader.close()
        self._channel.close()


class Nursery:
    """A process that has imported the library and forks workers at once.

    With ``debug`` its workers and their privsep daemons log everything, else what services log.
    ``wrapper`` is what starts it, before its own command line.
    """

    def __init__(
        self,
        python: str = sys.executable,
        *,
        debug: bool = True,
        wrapper: Sequence[str] = (),
        **options: object,
    ) -> None:
        self._directory = pathlib.Path(tempfile.mkdtemp(prefix='lab-nursery-'))
        config = write_config(self._directory, python, debug=debug, **options)
        mine, theirs = socket.socketpair()
        argv = [*wrapper, python, '-P', str(_WORKER), config, str(theirs.fileno())]
        environment = {k: v for k, v in os.environ.items() if not k.startswith('PYTHON')}
        environment['LAB_DEBUG'] = '1' if debug else ''
        if python == sys.executable:
            argv.append(str(CHECKOUT))
        self._process = subprocess.Popen(
            argv, pass_fds=[theirs.fileno()], env=environment, stdin=subprocess.DEVNULL
        )
        theirs.close()
        self._channel = mine
        self._ready = False

    def spawn(self) -> Worker:
        """A new worker (the first waits until the import is done)."""
        if not self._ready:
            self._channel.settimeout(180)
            if not self._channel.recv(1):
                raise EOFError(f'nursery ended with {self._process.wait()}')
            self._ready = True
        mine, theirs = socket.socketpair()
        socket.send_fds(self._channel, [b'+'], [theirs.fileno()])
        theirs.close()
        return Worker(mine)

    def __enter__(self) -> 'Nursery':
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End the nursery (its workers end when their connection does)."""
        self._channel.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def timed(function: Any, *args: object, **keywords: object) -> tuple[float, Any]:
    """Seconds that a call took, and its answer."""
    started = time.monotonic()
    answer = function(*args, **keywords)
    return time.monotonic() - started, answer
