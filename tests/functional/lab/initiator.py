# SPDX-License-Identifier: Apache-2.0
"""Another host with iSCSI, in this process: one session of a name of its own, and reads and writes.

The kernel's initiator cannot be two hosts: iscsid talks to it over a netlink socket that only the
first network namespace has (Linux 6.12, ``iscsi_transport_init``: ``init_net``). So this one speaks
RFC 7143 by itself: a login without authentication, commands whose data fits into one PDU, NOPs.
"""

import itertools
import socket
import struct
from types import TracebackType

_BHS = 48
_LOGIN, _COMMAND, _LOGOUT, _NOP_OUT = 0x43, 0x01, 0x46, 0x40
_NOP_IN, _RESPONSE, _LOGIN_RESPONSE, _DATA_IN, _LOGOUT_RESPONSE = 0x20, 0x21, 0x23, 0x25, 0x26
_NONE = 0xFFFFFFFF
_CHECK_CONDITION, _UNIT_ATTENTION = 2, 6
_SECTOR = 512
# All that LIO would ask for, so that one request is enough.
_KEYS = {
    'HeaderDigest': 'None',
    'DataDigest': 'None',
    'MaxConnections': '1',
    'InitialR2T': 'Yes',
    'ImmediateData': 'Yes',
    'MaxRecvDataSegmentLength': '65536',
    'MaxBurstLength': '262144',
    'FirstBurstLength': '65536',
    'DefaultTime2Wait': '2',
    'DefaultTime2Retain': '0',
    'MaxOutstandingR2T': '1',
    'DataPDUInOrder': 'Yes',
    'DataSequenceInOrder': 'Yes',
    'ErrorRecoveryLevel': '0',
}
_isids = itertools.count(1)


class _AttentionError(Exception):
    """The unit has something to tell each initiator first, once; the command has to come again."""


class Session:
    """A session with one portal of a target, from its login on; a context that logs out.

    :param name: the host's initiator name.
    :param portal: ``address:port`` (IPv4).
    """

    def __init__(self, name: str, target: str, portal: str, lun: int) -> None:
        address, _, port = portal.rpartition(':')
        self._lun = lun
        self._tag, self._command_number, self._expected = 1, 1, 0
        self._channel = socket.create_connection((address, int(port)), 10)
        names = {'InitiatorName': name, 'TargetName': target, 'SessionType': 'Normal'}
        text = b''.join(f'{key}={value}\0'.encode() for key, value in (names | _KEYS).items())
        # From the operational stage to the full feature phase; the ISID is "random".
        isid = struct.pack('>BHBH', 0x80, next(_isids), 0, 0)
        header = struct.pack('>BBHI6sHIHHII16x', _LOGIN, 0x87, 0, len(text), isid, 0, 0, 0, 0, 1, 0)
        self._send(header, text)
        answer, _ = self._receive()
        assert answer[0] == _LOGIN_RESPONSE, answer.hex()
        assert answer[36:38] == b'\0\0', f'the login of {name} is refused: {answer[36:38].hex()}'
        assert answer[1] & 0x80, f'the login of {name} has to go on: {answer.hex()}'

    def write(self, data: bytes, offset: int) -> None:
        """Write some blocks."""
        count = len(data) // _SECTOR
        self._call(struct.pack('>BBIBHB6x', 0x2A, 0, offset // _SECTOR, 0, count, 0), 0x20, data)

    def read(self, length: int, offset: int) -> bytes:
        """Read some blocks."""
        count = length // _SECTOR
        cdb = struct.pack('>BBIBHB6x', 0x28, 0, offset // _SECTOR, 0, count, 0)
        return self._call(cdb, 0x40, length=length)

    def _call(self, cdb: bytes, direction: int, data: bytes = b'', length: int = 0) -> bytes:
        """One command to its end; what was read."""
        while True:
            try:
                return self._try(cdb, direction, data, length)
            except _AttentionError:
                pass

    def _try(self, cdb: bytes, direction: int, data: bytes, length: int) -> bytes:
        self._tag += 1
        # Flat addressing of a LUN below 256: the second byte.
        lun = struct.pack('>BB6x', 0, self._lun)
        words = (self._tag, length or len(data), self._command_number, self._expected)
        header = struct.pack('>BBHI8sIIII', _COMMAND, 0x81 | direction, 0, len(data), lun, *words)
        self._command_number += 1
        self._send(header + cdb, data)
        found = b''
        while True:
            answer, part = self._receive()
            assert answer[0] in (_DATA_IN, _RESPONSE), answer.hex()
            if answer[0] == _DATA_IN:
                found += part
            is_status = answer[0] == _RESPONSE or (answer[0] == _DATA_IN and answer[1] & 1)
            if is_status:
                # Sense data in the fixed format, after its length.
                if answer[3] == _CHECK_CONDITION and part[4] & 0x0F == _UNIT_ATTENTION:
                    raise _AttentionError
                assert answer[3] == 0, f'SCSI status {answer[3]}: {part[:34].hex()}'
                return found

    def _send(self, header: bytes, data: bytes = b'') -> None:
        assert len(header) == _BHS, len(header)
        self._channel.sendall(header + data + bytes(-len(data) % 4))

    def _receive(self) -> tuple[bytes, bytes]:
        """The next PDU that is no question whether this host is there, which is answered."""
        while True:
            header = self._bytes(_BHS)
            size = int.from_bytes(header[5:8], 'big')
            data = self._bytes(size + -size % 4)[:size]
            (number,) = struct.unpack_from('>I', header, 24)
            if header[0] != _NOP_IN:
                # Data without a status carries no number.
                if header[0] != _DATA_IN or header[1] & 1:
                    self._expected = number + 1
                return header, data
            self._answer(header)

    def _answer(self, header: bytes) -> None:
        (transfer,) = struct.unpack_from('>I', header, 20)
        if transfer != _NONE:
            words = (_NONE, transfer, self._command_number, self._expected)
            start = struct.pack('>BBHI', _NOP_OUT, 0x80, 0, 0)
            self._send(start + header[8:16] + struct.pack('>IIII16x', *words))

    def _bytes(self, count: int) -> bytes:
        data = b''
        while len(data) < count:
            more = self._channel.recv(count - len(data))
            if not more:
                raise ConnectionError('the target has ended the session')
            data += more
        return data

    def __enter__(self) -> 'Session':
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        with self._channel:
            if error is None:
                words = (self._tag + 1, 0, self._command_number, self._expected)
                self._send(struct.pack('>BBHIQIIII16x', _LOGOUT, 0x80, 0, 0, 0, *words))
                answer, _ = self._receive()
                assert answer[0] == _LOGOUT_RESPONSE, answer.hex()
