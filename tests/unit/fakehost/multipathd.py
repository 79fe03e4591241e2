# SPDX-License-Identifier: Apache-2.0
"""multipathd: its socket, its words (recorded/guest.json), and what comes of them."""

import ctypes
import socket
import struct
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.unit.fakehost.host import Host

_LENGTH = struct.Struct('@N')
_NOT_FOUND = 'fail\ndevice not found'


def connect(host: 'Host', timeout: float) -> socket.socket:
    """One end of a connection, at whose other end one question is answered."""
    if not host.multipathd_runs:
        raise ConnectionRefusedError(111, 'Connection refused')
    ours, theirs = socket.socketpair()
    theirs.settimeout(timeout)
    asker = threading.get_ident()
    threading.Thread(target=_serve, args=(host, theirs, asker, timeout), daemon=True).start()
    ours.settimeout(timeout)
    return ours


def _serve(host: 'Host', channel: socket.socket, asker: int, timeout: float) -> None:
    def give_up() -> Exception:
        host._pass(timeout)
        return TimeoutError()

    with channel:
        (size,) = _LENGTH.unpack(channel.recv(_LENGTH.size, socket.MSG_WAITALL))
        question = channel.recv(size, socket.MSG_WAITALL).rstrip(b'\0').decode()
        try:
            with host.act(f'multipathd {question}', give_up):
                answer = answer_to(host, question)
        except OSError:
            return  # The socket closes without an answer.
        except host.interrupt as error:
            interrupt(asker, type(error))
            return
        data = f'{answer}\n'.encode() + b'\0'
        channel.sendall(_LENGTH.pack(len(data)) + data)


def interrupt(thread: int, kind: type[BaseException] = KeyboardInterrupt) -> None:
    """Have a thread be interrupted wherever it is, as by Ctrl-C or the kill of a green thread."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(kind))


def answer_to(host: 'Host', question: str) -> str:
    """What multipathd says, after it has done what it was told."""
    verb, _, rest = question.partition(' ')
    with host.guard:
        if question == 'show daemon':
            return 'pid 42 idle'
        if verb == 'show' and rest.startswith('path '):
            return 'running' if rest.removeprefix('path ') in host.paths_known else _NOT_FOUND
        if verb == 'show':
            return '\n'.join(_SHOWN[rest](host)) or 'ok'
        return _COMMANDS[verb](host, rest)


def _paths(host: 'Host') -> list[str]:
    return [
        f'{disk} {wwid} ready {wwid}' if host.map_over(disk) else f'{disk} {wwid} undef [orphan]'
        for disk, wwid in sorted(host.paths_known.items())
    ]


def _maps(host: 'Host') -> list[str]:
    return [f'{each.wwid}|{each.queueing}' for each in host.maps.values()]


def _devices(host: 'Host') -> list[str]:
    lines = ['available block devices:']
    for disk in sorted(host.disks):
        listed = 'blacklisted' if disk in host.excluded else 'whitelisted'
        known = 'monitored' if disk in host.paths_known else 'unmonitored'
        lines.append(f'    {disk} devnode {listed}, {known}')
    return lines


_SHOWN = {
    'paths raw format "%d %w %T %m"': _paths,
    'maps raw format "%w|%Q"': _maps,
    'devices': _devices,
}


def _add(host: 'Host', rest: str) -> str:
    what, name = rest.split()
    if what == 'map':
        return _add_map(host, name)
    assert what == 'path'
    if name not in host.disks:
        return 'fail'
    if host.multipath_refusal:
        return host.multipath_refusal
    wwid = host.disks[name].unit.wwid
    if host.own_wwids is not None and wwid not in host.own_wwids:
        host.paths_known[name] = wwid
        return 'ok'
    return 'ok' if host.claim(name) else 'fail'


def _add_map(host: 'Host', wwid: str) -> str:
    known = [disk for disk, each in host.paths_known.items() if each == wwid]
    if host.disks_in_use or not [disk for disk in known if host.claim(disk)]:
        return 'fail'
    if host.own_wwids is not None:
        host.own_wwids.add(wwid)
    return 'ok'


def _delete(host: 'Host', rest: str) -> str:
    what, _, name = rest.partition(' ')
    name = _unquoted(name)
    if what == 'path':
        if host.paths_known.pop(name, None) is None:
            return _NOT_FOUND
        found = host.map_over(name)
        if found is not None:
            host.drop_path(found, name)
        return 'ok'
    assert what == 'map'
    found = host.map_called(name)
    if found is None:
        return _NOT_FOUND
    if found.open_count:
        return 'fail\nmap or partition in use'
    host.remove_map(found)
    return 'ok'


def _unquoted(name: str) -> str:
    return name.strip('"').replace('""', '"')


def _resize(host: 'Host', rest: str) -> str:
    found = host.map_called(_unquoted(rest.removeprefix('map ')))
    if found is None:
        return _NOT_FOUND
    host.resize_map(found)
    return 'ok'


def _stop_queueing(host: 'Host', rest: str) -> str:
    found = host.map_called(_unquoted(rest.removeprefix('map ')))
    if found is None:
        return _NOT_FOUND
    found.queues = False
    return 'ok'


_COMMANDS = {
    'add': _add,
    'del': _delete,
    'resize': _resize,
    'disablequeueing': _stop_queueing,
}
