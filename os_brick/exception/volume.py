# SPDX-License-Identifier: Apache-2.0
"""Errors about a volume and its device on this host."""

from os_brick.exception.base import BrickException


class VolumeDeviceNotFound(BrickException):
    """The device of a volume does not appear, or cannot be read or written.

    Usually the array has not mapped the volume to this host's name, or the device is there and
    all its paths are down. What the attach had made is taken back.

    :ivar device: where it was expected.
    """

    device: str | None
    message = 'Volume device not found at %(device)s.'


class PathNotReady(VolumeDeviceNotFound):
    """The disk of a path is there and cannot be used yet: it has no capacity, or is blocked.

    So are the paths of a port that is in ALUA's state *unavailable*, and those of a volume that the
    array is still making ready. Another try succeeds once the array has changed that.

    :ivar device: the disk.
    :ivar why: what it reports, or the kernel's state of it.
    """

    why: str | None
    message = 'Device %(device)s is not ready: %(why)s.'


class VolumePathsNotFound(BrickException):
    """Extend of a volume that is not attached to this host, or of which no path answers."""

    message = 'No path of the volume was found on this host.'


class VolumePathNotRemoved(BrickException):
    """The kernel did not remove disks of a volume in time. Detach again.

    :ivar volume_path: the disks, each with the reason where there is one.
    """

    volume_path: object
    message = 'The kernel has not removed %(volume_path)s. Detach the volume again.'


class VolumeIdentityMismatch(BrickException):
    """A device reports another identity than the volume that was asked for.

    Find out on the array which volume is right before anything is forced: what is written through
    the wrong one is lost. Nothing was written by this library.

    :ivar device: the device that was asked.
    :ivar expected: the identity wanted.
    :ivar actual: the identity reported.
    :ivar holder: what on this host uses the device, if that keeps it from being removed.
    """

    device: str | None
    expected: str | None
    actual: str | None
    holder: str | None
    message = 'Device %(device)s: expected %(expected)s, found %(actual)s.'
    also = {'holder': ' It cannot be replaced while it is in use by: %(holder)s.'}

    @classmethod
    def of(cls, what: str, expected: str, actual: str) -> 'VolumeIdentityMismatch':
        """Return the error of what is not a device of this host, such as a share or a machine."""
        text = f'{what}: expected {expected}, found {actual}.'
        return cls(text, device=what, expected=expected, actual=actual)


class VolumeHasShrunk(BrickException):
    """A volume is smaller on its array than its device on this host, which stays as it is.

    Its user may have written beyond the new end. Detach it and attach it again to use it with its
    new size.

    :ivar device: the device on this host.
    :ivar size: the volume's size now, in bytes.
    :ivar before: the size of its device, in bytes.
    """

    device: str | None
    size: int | None
    before: int | None
    message = 'Device %(device)s has %(before)s bytes, and its volume has %(size)s bytes now.'


class VolumeInUse(BrickException):
    """Something on this host holds the device, so it is not removed or overwritten.

    Release it (unmount, deactivate, stop the process), then try again.

    :ivar device: the device.
    :ivar holder: what holds it.
    """

    device: str | None
    holder: str | None
    message = 'Device %(device)s is in use by: %(holder)s. Release it, then try again.'


class BlockDeviceReadOnly(BrickException):
    """A device stays read-only although it is to be written to. Look at the array's mapping."""

    device: str | None
    message = 'Block device %(device)s is read-only.'


class MultipathdPathsNotRemoved(BrickException):
    """multipathd did not forget the disks of a volume in time. Detach again.

    :ivar devices: the disks.
    """

    devices: object
    message = 'multipathd still has the paths %(devices)s. Detach the volume again.'
