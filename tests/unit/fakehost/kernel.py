# SPDX-License-Identifier: Apache-2.0
"""Devices that answer ioctls in the kernel's own structures."""

import ctypes
import errno
import os
import socket
import struct
from typing import TYPE_CHECKING

from os_brick.core import files
from tests.unit.fakehost import multipathd

if TYPE_CHECKING:
    from tests.unit.fakehost.host import Host

SG_IO = 0x2285
BLKFLSBUF = 0x1261
CHECK_CONDITION = 2
DID_TRANSPORT_DISRUPTED = 0x0E

# struct sg_io_v4, include/uapi/linux/bsg.h; the names of its fields in their order.
_SG = struct.Struct('=iIIIQQIIIIQIIIIQQIIQIIIIIIIIiiQII')
_SG_FIELDS = (
    *('guard', 'protocol', 'subprotocol', 'request_len', 'request', 'request_tag'),
    *('request_attr', 'request_priority', 'request_extra', 'max_response_len', 'response'),
    *('dout_iovec_count', 'dout_xfer_len', 'din_iovec_count', 'din_xfer_len', 'dout_xferp'),
    *('din_xferp', 'timeout', 'flags', 'usr_ptr', 'spare_in', 'driver_status'),
    *('transport_status', 'device_status', 'retry_delay', 'info', 'duration', 'response_len'),
    *('din_resid', 'dout_resid', 'generated_tag', 'spare_out', 'padding'),
)

# struct dm_ioctl, include/uapi/linux/dm-ioctl.h.
_DM = struct.Struct('=3IIIIiIIIQ128s129s7x')
_DM_TARGET = struct.Struct('=QQiI16s')
_DM_REMOVE, _DM_SUSPEND, _DM_STATUS, _DM_MESSAGE = 4, 6, 12, 14
_DM_SUSPENDED, _DM_AS_TABLE = 1 << 1, 1 << 4


class Kernel:
    """What :func:`os_brick.core.kernel.use` takes."""

    def __init__(self, host: 'Host') -> None:
        self._host = host

    def open(self, path: str, flags: int) -> int:
        """Open the stand-in, a file; one that can be read past no cache has no O_DIRECT."""
        descriptor = files.descriptor(path, flags & ~os.O_DIRECT)
        try:
            if flags & os.O_DIRECT:
                self._host.touch(path.rpartition('/')[2])
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def open_block(self, path: str, flags: int) -> int:
        """Files stand for devices; which of them are block devices sysfs says."""
        name = path.rpartition('/')[2]
        if files.exists(path) and not files.exists(f'/sys/class/block/{name}'):
            raise OSError(errno.ENOTBLK, f'{path} is not a block device')
        if flags & os.O_EXCL and self._host.is_claimed(name):
            raise OSError(errno.EBUSY, f'Device or resource busy: {path}')
        return self.open(path, flags & ~os.O_PATH)

    def number(self, descriptor: int) -> str:
        """That of the device whose stand-in is open: of the name, or what a test has for it."""
        name = os.readlink(f'/proc/self/fd/{descriptor}').rpartition('/')[2]
        known = files.read_or(f'/sys/class/block/{name}/dev')
        return self._host.node_numbers.get(name, known)

    def ioctl(self, descriptor: int, request: int, argument: bytearray | int) -> int:
        path = os.readlink(f'/proc/self/fd/{descriptor}').removeprefix(str(self._host.tree.root))
        name = path.rpartition('/')[2]
        if request == BLKFLSBUF:
            self._host.flushed(name)
            return 0
        assert isinstance(argument, bytearray)
        if request == SG_IO and path.startswith('/dev/bsg/'):
            self._scsi(name, argument)
        elif path == '/dev/mapper/control' and request >> 8 & 0xFF == 0xFD:
            assert request >> 30 == 3
            assert request >> 16 & 0x3FFF == _DM.size
            with self._host.act(f'dm {request & 0xFF}'):
                self._device_mapper(request & 0xFF, argument)
        elif path in self._host.ioctls:
            self._host.ioctls[path](request, argument)
        else:
            raise OSError(errno.ENOTTY, f'{path}: {request:#x}')
        return 0

    def _scsi(self, address: str, request: bytearray) -> None:
        field = dict(zip(_SG_FIELDS, _SG.unpack(bytes(request)), strict=True))
        assert (field['guard'], field['protocol'], field['subprotocol']) == (ord('Q'), 0, 0)
        assert 0 < field['timeout'] < 2**31
        command = ctypes.string_at(field['request'], field['request_len'])
        assert command[0] == 0x12, 'only INQUIRY is known here'
        assert command[1] == 1
        room = int.from_bytes(command[3:5], 'big')
        assert room <= field['din_xfer_len']
        answer = self._host.inquire(address, command[2])
        field |= {'driver_status': 0, 'transport_status': 0, 'device_status': 0}
        if isinstance(answer, bytes):
            data = answer[:room]
            ctypes.memmove(field['din_xferp'], data, len(data))
            field['din_resid'] = room - len(data)
        elif answer is None:
            field['transport_status'] = DID_TRANSPORT_DISRUPTED
        else:
            # Fixed format (SPC-4, 4.5.3): ILLEGAL REQUEST, and why.
            sense = bytes([0x70, 0, 5, 0, 0, 0, 0, 10, 0, 0, 0, 0]) + answer.to_bytes(2, 'big')
            sense = sense.ljust(18, b'\0')[: field['max_response_len']]
            ctypes.memmove(field['response'], sense, len(sense))
            field |= {'device_status': CHECK_CONDITION, 'response_len': len(sense)}
        request[:] = _SG.pack(*field.values())

    def _device_mapper(self, command: int, request: bytearray) -> None:
        values = list(_DM.unpack_from(request))
        assert values[:3] == [4, 0, 0]
        assert values[3] == len(request)
        # __find_device_hash_cell: a UUID stands alone.
        assert not values[10]
        found = self._host.map_of_uuid(values[12].rstrip(b'\0').decode())
        if found is None:
            raise OSError(errno.ENXIO, 'No such device or address')
        if command == _DM_STATUS:
            text = found.table() if values[7] & _DM_AS_TABLE else found.status()
            values[5] = 1
            values[6] = found.open_count
            values[7] = values[7] & ~_DM_SUSPENDED | _DM_SUSPENDED * found.is_suspended
            _DM.pack_into(request, 0, *values)
            target = _DM_TARGET.pack(0, found.sectors, 0, 0, b'multipath') + text.encode() + b'\0'
            request[values[4] : values[4] + len(target)] = target
        elif command == _DM_REMOVE:
            self._host.remove_map(found)
        elif command == _DM_SUSPEND:
            found.is_suspended = False
        elif command == _DM_MESSAGE:
            message = bytes(request[values[4] + 8 :]).split(b'\0')[0]
            assert message == b'fail_if_no_path', message
            found.queues = False
        else:
            raise OSError(errno.ENOTTY, f'device-mapper command {command}')

    def connect(self, address: str, timeout: float) -> socket.socket:
        assert address == '\0/org/kernel/linux/storage/multipathd', address
        return multipathd.connect(self._host, timeout)
