# SPDX-License-Identifier: Apache-2.0
"""Dell PowerFlex (once ScaleIO, VxFlex OS): what names its volumes, and where its gateway is."""

from __future__ import annotations

import dataclasses
import re

from os_brick.model import names

# 64 bits in hexadecimal. No case is given for them, so it does not count.
VOLUME_ID = names.Rule('ID of a PowerFlex volume', re.compile(r'[0-9A-Fa-f]{16}'), 16)
# A gateway takes 31 characters of ASCII; the names that Cinder makes have "/", "+" and "=" in them.
VOLUME_NAME = names.Rule(
    'name of a PowerFlex volume',
    re.compile(r'[\x20-\x7e]+'),
    255,
    'it has to be of printable ASCII',
)
GUID = names.Rule(
    'GUID of a PowerFlex client',
    re.compile(r'[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}'),
    36,
)
# A section of an INI file: what would end its line, or its brackets, is not in it.
CONFIG_GROUP = names.Rule(
    'section of connector.conf',
    re.compile(r'[^\]\x00-\x1f\x7f\ud800-\udfff]+'),
    255,
    'it has to be one line without "]"',
)

CONNECTOR_CONF = '/opt/emc/scaleio/openstack/connector.conf'

# PowerFlex 3 and before, and 4: addMappedSdc of what is mapped, removeMappedSdc of what is not.
ALREADY_MAPPED = (81, 4037)
NOT_MAPPED = (84, 4039)
# getByName of a name that no volume has, and a volume that is gone (78 in ScaleIO 2 and before).
NOT_FOUND = (3, 78, 79)


@dataclasses.dataclass(frozen=True, slots=True)
class Gateway:
    """A REST gateway, and who logs in there.

    :ivar user: empty if only connector.conf has it.
    :ivar token: of a login that the caller has made; empty if it has not.
    :ivar config_group: the section of connector.conf with user and password; empty if the caller
        passes them.
    :ivar failed_over: whether the section's credentials of the replica's gateway are meant.
    :ivar verify: whether the gateway's certificate has to be trusted.
    :ivar ca_path: the certificate, or the authorities, that are trusted; ``None`` for the system's.
    """

    host: str
    port: int
    user: str = ''
    password: str = dataclasses.field(default='', repr=False)
    token: str = dataclasses.field(default='', repr=False)
    config_group: str = ''
    failed_over: bool = False
    verify: bool = True
    ca_path: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """How much a client may do with a volume; ``None`` for no limit."""

    bandwidth_kbps: int | None = None
    iops: int | None = None

    def as_json(self) -> dict[str, str]:
        """The arguments of setMappedSdcLimits; empty if there is no limit."""
        found = {'bandwidthLimitInKbps': self.bandwidth_kbps, 'iopsLimit': self.iops}
        return {name: str(value) for name, value in found.items() if value is not None}


NO_LIMITS = Limits()
