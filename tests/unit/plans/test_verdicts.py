# SPDX-License-Identifier: Apache-2.0
"""What each error means for its path, and which of several errors explains a failed attach."""

import pytest

from os_brick import exception
from os_brick.core import fanout
from os_brick.host import map_offers
from os_brick.paths import fibre_channel, iscsi, nvme
from os_brick.plans import verdicts

Verdict = verdicts.Verdict
MISMATCH = exception.VolumeIdentityMismatch(device='d', expected='a', actual='b')


@pytest.mark.parametrize(
    ('error', 'verdict'),
    [
        (verdicts.CalledOff(path='p'), Verdict.RETRY),
        (iscsi.PortalUnreachable('no route'), Verdict.UNREACHABLE),
        (fibre_channel.PortDown('Linkdown'), Verdict.UNREACHABLE),
        (nvme.PortalUnreachable('no route'), Verdict.UNREACHABLE),
        (exception.OperationTimedOut(what='w', seconds=1), Verdict.RETRY),
        (exception.PathNotReady(device='sda', why='no capacity'), Verdict.RETRY),
        (MISMATCH, Verdict.WRONG_VOLUME),
        (nvme.NotAuthenticated('secret'), Verdict.FOR_ALL),
        (nvme.HostRefused('EINVAL'), Verdict.RETRY),
        (exception.LoginRefused(target='t', portal='p', reason='r'), Verdict.EXPLAINS),
        (exception.FailedISCSITargetPortalLogin('killed'), Verdict.RETRY),
        (OSError('read-only file system'), Verdict.RETRY),
        (exception.VolumeDeviceNotFound('no disk'), Verdict.REFUSED),
        (exception.NoFibreChannelVolumeDeviceFound('no disk'), Verdict.REFUSED),
        (map_offers.NotClaimed(disks='sda', why='blacklisted'), Verdict.REFUSED),
        (exception.BrickException('any other'), Verdict.REFUSED),
        (fanout.Interrupted('GreenletExit'), Verdict.REFUSED),
        (ValueError('a bug'), Verdict.REFUSED),
    ],
)
def test_verdicts(error: Exception, verdict: Verdict) -> None:
    assert verdicts.verdict(error) is verdict


def test_what_is_tried_again() -> None:
    assert {each for each in Verdict if each.may_retry} == {Verdict.UNREACHABLE, Verdict.RETRY}


def test_every_row_can_decide() -> None:
    """No row of the table is hidden behind one before it."""
    for number, (kind, _) in enumerate(verdicts.VERDICTS):
        assert not any(issubclass(kind, before) for before, _ in verdicts.VERDICTS[:number])


def test_the_weightiest_error_decides() -> None:
    away, other = OSError('away'), OSError('busy')
    refused = exception.LoginRefused(target='t', portal='p', reason='r')
    secret = nvme.NotAuthenticated('secret')
    assert verdicts.deciding_error([away, refused, secret, MISMATCH]) is MISMATCH
    assert verdicts.deciding_error([away, refused, secret]) is secret
    assert verdicts.deciding_error([away, refused]) is refused
    assert verdicts.deciding_error([away]) is away
    assert verdicts.deciding_error([away, other]) is None
