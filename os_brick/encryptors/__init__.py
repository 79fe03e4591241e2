# SPDX-License-Identifier: Apache-2.0
"""Encryptors: what decrypts a volume on this host, by its encryption metadata."""

from __future__ import annotations

import re
from typing import Any

from oslo_log import log as logging
from oslo_utils import importutils

from os_brick import executor
from os_brick.core import trace
from os_brick.encryptors import base, nop
from os_brick.model import names

LOG = logging.getLogger(__name__)

LUKS = 'luks'
LUKS2 = 'luks2'
PLAIN = 'plain'

FORMAT_TO_FRONTEND_ENCRYPTOR_MAP = {
    LUKS: 'os_brick.encryptors.luks.LuksEncryptor',
    LUKS2: 'os_brick.encryptors.luks.Luks2Encryptor',
    PLAIN: 'os_brick.encryptors.cryptsetup.CryptsetupEncryptor',
}

# Names of classes that volume types of old deployments have; nova and cinder read it.
LEGACY_PROVIDER_CLASS_TO_FORMAT_MAP = {
    'nova.volume.encryptors.luks.LuksEncryptor': LUKS,
    'nova.volume.encryptors.cryptsetup.CryptsetupEncryptor': PLAIN,
    'nova.volume.encryptors.nop.NoopEncryptor': None,
    'os_brick.encryptors.luks.LuksEncryptor': LUKS,
    'os_brick.encryptors.cryptsetup.CryptsetupEncryptor': PLAIN,
    'os_brick.encryptors.nop.NoopEncryptor': None,
    'LuksEncryptor': LUKS,
    'CryptsetupEncryptor': PLAIN,
    'NoOpEncryptor': None,
}

_FRONT_END = 'front-end'
# A format, or a class outside of os-brick.
_CLASS = re.compile(rf'{LUKS}|{LUKS2}|{PLAIN}|\w+(?:\.\w+)+')


def get_volume_encryptor(
    root_helper: str | None,
    connection_info: dict[str, Any],
    keymgr: Any,
    execute: executor.ExecuteCallable | None = None,
    *args: Any,
    **kwargs: Any,
) -> base.VolumeEncryptor:
    """Return the encryptor of a volume.

    :param kwargs: the encryption metadata: ``control_location``, ``provider``, ``cipher``,
        ``key_size``, ``encryption_key_id``.
    :raises VolumeEncryptionNotSupported: if the volume has no device that could be encrypted.
    :raises ImportError: if the provider is not known, and not a class either.
    """
    location = kwargs.get('control_location')
    found = nop.NoOpEncryptor
    if isinstance(location, str) and location.lower() == _FRONT_END:
        found = _provider(kwargs.get('provider'))
    LOG.debug(
        'Encryptor %s for %s', found.__name__, trace.masked({'connection_info': connection_info})
    )
    try:
        return found(root_helper, connection_info, keymgr, execute, *args, **kwargs)
    except Exception as error:
        LOG.error('Encryptor %s cannot be made: %s', found.__name__, trace.masked(error))
        raise


def _provider(provider: Any) -> Any:
    """The class of a provider.

    :raises ImportError: if it is not known, and not a class either.
    """
    if isinstance(provider, str) and provider in LEGACY_PROVIDER_CLASS_TO_FORMAT_MAP:
        wanted = LEGACY_PROVIDER_CLASS_TO_FORMAT_MAP[provider]
        LOG.warning(
            'The encryption provider %s is a deprecated name: use %s', provider, wanted or 'none'
        )
        provider = wanted
    if provider is None:
        return nop.NoOpEncryptor
    if not isinstance(provider, str) or not _CLASS.fullmatch(provider):
        known = ', '.join(FORMAT_TO_FRONTEND_ENCRYPTOR_MAP)
        raise ImportError(
            f'{names.shown(provider)} is not a valid encryption provider: expected one of {known}, '
            'or the dotted name of a class'
        )
    if provider not in FORMAT_TO_FRONTEND_ENCRYPTOR_MAP:
        LOG.warning('The encryption provider %s is not one of os-brick', provider)
    return importutils.import_class(FORMAT_TO_FRONTEND_ENCRYPTOR_MAP.get(provider, provider))


def get_encryption_metadata(
    context: Any, volume_api: Any, volume_id: str, connection_info: dict[str, Any]
) -> dict[str, Any]:
    """Return what a volume is encrypted with, as its service reports it; ``{}`` if it is not."""
    if not connection_info.get('data', {}).get('encrypted'):
        return {}
    try:
        found: dict[str, Any] = volume_api.get_volume_encryption_metadata(context, volume_id)
    except Exception as error:
        LOG.error(
            'The encryption metadata of volume %s cannot be read: %s',
            volume_id,
            trace.masked(error),
        )
        raise
    if not found:
        LOG.warning('Volume %s is encrypted, but its service has no metadata of that', volume_id)
    return found
