# SPDX-License-Identifier: Apache-2.0
"""The name of this host towards NVMe subsystems: ``/etc/nvme/hostnqn`` and ``hostid``."""

import errno
import re

from oslo_log import log as logging

from os_brick import exception, privileged
from os_brick.core import atomic, files, process
from os_brick.model import names

LOG = logging.getLogger(__name__)

_DIRECTORY = '/etc/nvme'
_DMI_UUID = '/sys/class/dmi/id/product_uuid'

# NVM Express Base Specification 2.0, section 4.5: the form with a UUID.
NQN_OF_UUID = 'nqn.2014-08.org.nvmexpress:uuid:'

_UUID = re.compile(r'[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}')

# Neither tool does more than read DMI tables or draw random numbers.
_TOOL_SECONDS = 10.0


@privileged.entrypoint
def create_hostnqn(system_uuid: str | None = None) -> str:
    """Return the NQN in ``/etc/nvme/hostnqn``, made if there is none; empty if that failed.

    With ``system_uuid`` the NQN follows from it; else nvme-cli reports it. One that is there stays:
    arrays know this host by it.
    """
    try:
        nqn = NQN_OF_UUID + _checked(system_uuid) if system_uuid else _nqn_of_tool()
        return atomic.create(f'{_DIRECTORY}/hostnqn', nqn) if nqn else ''
    except (OSError, process.failure(), exception.BrickException) as error:
        LOG.warning(
            'NVMe cannot be used on this host: there is no %s/hostnqn and it cannot be made (%s). '
            'Write a name into it, such as nvme gen-hostnqn prints',
            *(_DIRECTORY, error),
        )
    return ''


@privileged.entrypoint
def create_hostid(uuid: str) -> str | None:
    """Return what is in ``/etc/nvme/hostid``, or None if it could not be made; one there stays."""
    try:
        return atomic.create(f'{_DIRECTORY}/hostid', f'{_checked(uuid)}\n')
    except (OSError, exception.BrickException) as error:
        LOG.warning(
            'This host has no NVMe ID: there is no %s/hostid and it cannot be made (%s). Write a '
            'UUID into it, such as uuidgen prints; until then one is used that follows from the '
            "host's name",
            *(_DIRECTORY, error),
        )
        return None


@privileged.entrypoint
def get_system_uuid() -> str:
    """Return the UUID of the machine that its firmware tells; empty if it does not."""
    try:
        return files.read(_DMI_UUID)
    except OSError:
        return _ask('dmidecode', '-ssystem-uuid')


def _checked(uuid: str) -> str:
    # As text: what is of another type is none.
    if not _UUID.fullmatch(str(uuid)):
        raise exception.InvalidParameterValue(err=f'{names.shown(uuid)} is not a valid UUID')
    return str(uuid).lower()


def _nqn_of_tool() -> str:
    """Return the NQN that nvme-cli has or makes.

    nvme-cli before 1.10 has no ``show-hostnqn``, and one without an NQN ends it
    with an error: whatever goes wrong there, ``gen-hostnqn`` decides.
    """
    shown = _ask('nvme', 'show-hostnqn')
    if shown.startswith('nqn.') and names.HOST_NQN.why_not(shown) is None:
        return shown
    made = process.run('nvme', 'gen-hostnqn', timeout=_TOOL_SECONDS).stdout.strip()
    why = names.HOST_NQN.why_not(made)
    if why is not None:
        raise OSError(errno.EINVAL, f'nvme gen-hostnqn: {names.shown(made)}: {why}')
    return made


def _ask(*argv: str) -> str:
    try:
        return process.run(*argv, timeout=_TOOL_SECONDS).stdout.strip()
    except process.failure() as error:
        LOG.debug('%s does not answer: %s', argv[0], error)
        return ''
