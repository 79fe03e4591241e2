# SPDX-License-Identifier: Apache-2.0
"""The service's configuration, for commands that have to know what the service knows."""

from __future__ import annotations

from collections.abc import Sequence

from oslo_config import cfg

from os_brick import opts
from os_brick.cmd import exits
from os_brick.model import settings


def load(names: Sequence[str]) -> settings.Settings:
    """Read configuration files as the service does, nova's for example, into this process.

    :raises CommandError: if one cannot be read.
    """
    words = [word for name in names for word in ('--config-file', name)]
    try:
        cfg.CONF(words, project='os-brick', default_config_files=[], default_config_dirs=[])
        opts.set_defaults(cfg.CONF)
        return opts.current()
    except (cfg.Error, OSError, ValueError) as error:
        raise exits.usage(
            f'The configuration cannot be read: {error}.', 'Name the file of the service.'
        ) from None
