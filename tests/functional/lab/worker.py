# SPDX-License-Identifier: Apache-2.0
"""The other end of ``bricks.Nursery``: forks a connector's process whenever it is asked.

Runs under whatever Python has the ``os_brick`` to be used (ours or the reference), so it imports
nothing of the laboratory. Usage: worker.py CONFIG_FILE DESCRIPTOR [DIRECTORY OF os_brick]
"""

import array
import concurrent.futures
import json
import logging
import os
import signal
import socket
import sys
import threading
import time

DISTRIBUTION = '/usr/lib/python3/dist-packages'


class Memory(logging.Handler):
    """Keeps every line that is logged, at every level that is asked for."""

    def __init__(self):
        super().__init__(logging.DEBUG)
        self.lines = []

    def emit(self, record):
        self.lines.append(f'{record.levelname} {record.name}: {self.format(record)}')


class Keys:
    """castellan's key manager, and its managed object."""

    def __init__(self, passphrase):
        self.passphrase = passphrase

    def get(self, context, key_id):
        return self

    def managed_type(self):
        return 'passphrase'

    def get_encoded(self):
        return self.passphrase.encode()


class Witness(threading.Thread):
    """Looks at the threads and the memory of this process and of its daemon, until it is ended.

    The daemon is the only child that stays; it has children of its own for what may hang.
    """

    PAUSE_SECONDS = 0.25

    def __init__(self):
        super().__init__(daemon=True)
        self.most = {}
        self.ended = threading.Event()

    def run(self):
        while not self.ended.wait(self.PAUSE_SECONDS):
            self.look(os.getpid(), '')
            for child in children(os.getpid()):
                self.look(child, 'daemon_')
                self.note('children', len(children(child)))

    def look(self, process, prefix):
        try:
            with open(f'/proc/{process}/status') as status:
                lines = dict(line.split(':', 1) for line in status)
        except OSError:
            return
        self.note(f'{prefix}threads', int(lines['Threads']))
        self.note(f'{prefix}kib', int(lines.get('VmRSS', '0').split()[0]))

    def note(self, key, value):
        self.most[key] = max(value, self.most.get(key, 0))


def children(process):
    """The processes that a process has started and that have not ended."""
    found = []
    try:
        for thread in os.listdir(f'/proc/{process}/task'):
            with open(f'/proc/{process}/task/{thread}/children') as file:
                found += file.read().split()
    except OSError:
        pass
    return found


class Server:
    """One connector in this process, driven by lines of JSON."""

    def __init__(self, channel):
        self.reader = channel.makefile('r')
        self.writer = channel.makefile('w')
        self.connector = None
        self.connectors = {}
        self.memory = Memory()

    def serve(self):
        root = logging.getLogger()
        root.setLevel(logging.DEBUG if os.environ.get('LAB_DEBUG') else logging.INFO)
        root.addHandler(self.memory)
        for line in self.reader:
            self.answer(json.loads(line))

    def answer(self, request):
        started = time.monotonic()
        try:
            reply = {'result': getattr(self, 'do_' + request.pop('do'))(**request)}
        except Exception as error:  # the caller wants to see every failure
            kinds = [kind.__name__ for kind in type(error).__mro__]
            reply = {'error': str(error), 'kinds': kinds, 'repr': repr(error)}
        reply['elapsed'] = time.monotonic() - started
        self.writer.write(json.dumps(reply, default=repr) + '\n')
        self.writer.flush()

    def do_make(self, protocol, options):
        from os_brick.initiator import connector

        self.connector = connector.InitiatorConnector.factory(protocol, None, **options)
        self.connectors[protocol] = self.connector

    def do_group(self, name, options):
        from os_brick.local_dev import lvm

        self.connector = lvm.LVM(name, 'sudo', **options)

    def do_daemon(self):
        """Start the privsep daemon as a fork (an exec would import everything once more)."""
        from oslo_privsep import priv_context

        import os_brick.privileged

        parent = os.getpid()
        try:
            os_brick.privileged.default.start(method=priv_context.Method.FORK)
        finally:
            if os.getpid() != parent:  # The daemon: its parent answers, whatever ends it.
                os._exit(0)

    def do_without_daemon(self):
        """Have root functions run in this process."""
        import os_brick.privileged

        os_brick.privileged.default.set_client_mode(False)

    def do_call(self, method, args, keywords):
        return getattr(self.connector, method)(*args, **keywords)

    def do_encryption(self, method, path, provider, passphrase):
        """One method of the encryptor of an attached volume."""
        from os_brick import encryptors

        metadata = {
            'control_location': 'front-end',
            'provider': provider,
            'cipher': 'aes-xts-plain64',
            'key_size': 256,
            'encryption_key_id': 'key',
        }
        data = {'device_path': path, 'encrypted': True}
        info = {'driver_volume_type': 'iscsi', 'serial': 'vol', 'data': data}
        brick = encryptors.get_volume_encryptor(None, info, Keys(passphrase), **metadata)
        arguments = () if method == 'detach_volume' else (None,)
        return getattr(brick, method)(*arguments, **metadata)

    def do_many(self, method, calls):
        """The same method in so many threads at once, as a service's threads call it."""
        with concurrent.futures.ThreadPoolExecutor(len(calls)) as pool:
            function = getattr(self.connector, method)
            return list(pool.map(lambda args: function(*args), calls))

    def do_together(self, calls, threads):
        """Protocol, method and arguments of each call; all at once, or in so many threads.

        Each outcome: seconds until its end since all began, result, error.
        """
        witness = Witness()
        witness.start()
        began = time.monotonic()

        def one(call):
            protocol, method, args = call
            result, text = None, ''
            try:
                result = getattr(self.connectors[protocol], method)(*args)
            except Exception as error:
                text = f'{protocol} {method}: {type(error).__name__}: {error}'
            return time.monotonic() - began, result, text

        with concurrent.futures.ThreadPoolExecutor(threads) as pool:
            outcomes = list(pool.map(one, calls))
        witness.ended.set()
        witness.join()
        return {'outcomes': outcomes, 'most': witness.most}

    def do_forked(self, method, calls):
        """The same method in so many forked children at once, as a service's workers call it."""
        pipes = [self._child(method, args) for args in calls]
        return [json.loads(os.fdopen(reader).read()) for reader in pipes]

    def _child(self, method, args):
        reader, writer = os.pipe()
        if os.fork() == 0:
            try:
                answer = {'result': getattr(self.connector, method)(*args)}
            except Exception as error:
                answer = {'error': repr(error)}
            os.write(writer, json.dumps(answer).encode())
            os._exit(0)
        os.close(writer)
        return reader

    def do_terminable(self):
        """End by an exception at SIGTERM, as services do that have a handler."""

        def end(number, _frame):
            raise SystemExit(128 + number)

        signal.signal(signal.SIGTERM, end)

    def do_properties(self, multipath, enforce):
        from os_brick.initiator import connector

        return connector.get_connector_properties(None, '10.0.0.1', multipath, enforce)

    def do_stream(self, image, conf, path, chunk, *, into):
        """Copy a file into an image (pool and name), or an image to a file, by so many bytes."""
        # Ceph's bindings are the distribution's; what the environment has comes first.
        if DISTRIBUTION not in sys.path:
            sys.path.append(DISTRIBUTION)
        from os_brick.initiator import linuxrbd

        pool, name = image
        client = linuxrbd.RBDClient('admin', pool, conffile=conf, rbd_cluster_name='ceph')
        volume = linuxrbd.RBDVolume(client, name)
        meta = linuxrbd.RBDImageMetadata(volume, pool, 'admin', conf)
        with (
            linuxrbd.RBDVolumeIOWrapper(meta) as opened,
            open(path, 'rb' if into else 'wb') as file,
        ):
            source, sink = (file, opened) if into else (opened, file)
            while data := source.read(chunk):
                sink.write(data)

    def do_logs(self):
        lines, self.memory.lines = self.memory.lines, []
        return lines


def configure(path):
    from oslo_concurrency import lockutils  # noqa: F401  (registers the options that setup reads)
    from oslo_config import cfg

    import os_brick

    cfg.CONF([], project='os_brick', default_config_files=[path])
    if hasattr(os_brick, 'setup'):
        os_brick.setup(cfg.CONF)


def receive(channel):
    """A descriptor that was sent, or None at the end."""
    data, extra, _flags, _address = channel.recvmsg(1, socket.CMSG_SPACE(4))
    if not data:
        return None
    descriptors = array.array('i')
    descriptors.frombytes(extra[0][2][:4])
    return descriptors[0]


def main():
    config, descriptor = sys.argv[1:3]
    sys.path[:0] = sys.argv[3:]
    configure(config)
    from os_brick.initiator import connector  # noqa: F401  (paid once, before the forks)

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    channel = socket.socket(fileno=int(descriptor))
    channel.send(b'!')
    while (child := receive(channel)) is not None:
        if os.fork() == 0:
            os.setpgid(0, 0)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            channel.close()
            work = socket.socket(fileno=child)
            work.send(f'{os.getpid()}\n'.encode())
            try:
                Server(work).serve()
            finally:  # whatever happened: no one wants the answer any more
                os._exit(0)
        os.close(child)


if __name__ == '__main__':
    main()
