# SPDX-License-Identifier: Apache-2.0
"""Attach and detach block storage on the host, for OpenStack services and others.

A service calls :func:`setup` once its configuration is loaded, then makes
connectors with ``os_brick.initiator.connector.InitiatorConnector.factory``.
"""

from typing import Any

from oslo_config import cfg
from oslo_log import log as logging

from os_brick import (
    constants,  # noqa: F401 consumers read os_brick.constants without importing it
    opts,
)

LOG = logging.getLogger(__name__)

# Records of this name are for what must not be read by everyone who reads the
# log of the service, so nothing below an error is let through.
SECURE_LOG = logging.getLogger('brick_privsep_hide_output')
SECURE_LOG.logger.setLevel(logging.ERROR)


def setup(conf: cfg.ConfigOpts, **kwargs: Any) -> None:
    """Take over the defaults that depend on the loaded configuration of the service.

    May be called any number of times. Keywords are for later versions; unknown
    ones are ignored with a warning.

    :raises oslo_config.cfg.NoSuchOptError: if ``conf`` has not our options; in
        practice it is ``oslo_config.cfg.CONF``.
    """
    if kwargs:
        LOG.warning('os_brick.setup ignores unknown keywords: %s', ', '.join(sorted(kwargs)))
    opts.set_defaults(conf)
