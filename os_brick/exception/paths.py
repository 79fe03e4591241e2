# SPDX-License-Identifier: Apache-2.0
"""Errors about the paths to a volume: portals, logins, ports."""

from os_brick.exception.base import BrickException


class TargetPortalNotFound(BrickException):
    """Discovery failed, or the portal does not report the target.

    Look at the network, and at the array's configuration for this host.

    :ivar target_portal: the portal that was asked.
    """

    target_portal: str | None
    message = 'Unable to find or reach target portal %(target_portal)s.'


class TargetPortalsNotFound(TargetPortalNotFound):
    """Discovery failed at every portal. Look at the network between this host and the array.

    :ivar target_portals: the portals that were asked.
    """

    target_portals: object
    message = 'Unable to find or reach any of the target portals %(target_portals)s.'


class FailedISCSITargetPortalLogin(BrickException):
    """No portal of the target let this host log in; the text has a reason for each.

    No route, a refused connection, a time-out, or an exit code of iscsiadm: look at the network.
    """

    message = 'Unable to log in to any iSCSI portal of the target.'


class LoginRefused(FailedISCSITargetPortalLogin):
    """The target answered and rejected the login: wrong secret, unknown initiator, no such target.

    Look at the array's configuration for this host. Trying again does not help.

    :ivar target: the name of the target.
    :ivar portal: where it was asked.
    :ivar reason: what it answered.
    """

    target: str | None
    portal: object
    reason: str | None
    message = 'Target %(target)s at %(portal)s refused the login: %(reason)s.'


class NoFibreChannelHostsFound(BrickException):
    """This host has no Fibre Channel port. Look at its adapters and their drivers."""

    message = 'No Fibre Channel host bus adapter with a working port was found.'


class NoFibreChannelVolumeDeviceFound(BrickException):
    """No disk of a Fibre Channel volume appears.

    Usually the array has not mapped the volume to this host's ports, or no port of this host is
    zoned with one of the array.
    """

    message = 'No device of the Fibre Channel volume was found.'
