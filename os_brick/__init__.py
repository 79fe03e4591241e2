# SPDX-License-Identifier: Apache-2.0
"""Attach and detach block storage on the host, for OpenStack services and others.

A service calls :func:`setup` once its configuration is loaded, then makes
connectors with ``os_brick.initiator.connector.InitiatorConnector.factory``.
"""

from __future__ import annotations

from collections.abc import Callable
import importlib
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oslo_config import cfg
    from oslo_log.log import KeywordArgumentAdapter

    from os_brick import constants as constants
    from os_brick import opts as opts
    from os_brick.model.inventory import Host

    SECURE_LOG: KeywordArgumentAdapter
    LOG: KeywordArgumentAdapter

# Records of this name are for what must not be read by everyone who reads the
# log of the service, so nothing below an error is let through.
_SECURE = 'brick_privsep_hide_output'
logging.getLogger(_SECURE).setLevel(logging.ERROR)
_LOGS = {'SECURE_LOG': _SECURE, 'LOG': __name__}
# What consumers read of the package without importing it.
_MODULES = ('constants', 'opts')


def __getattr__(name: str) -> Any:
    """Import what the package has to offer when it is asked for.

    The libraries of OpenStack take longer to import than ``os-brick tree`` takes, which needs none.
    """
    if name in _MODULES:
        return importlib.import_module(f'os_brick.{name}')
    if name in _LOGS:
        from oslo_log import log

        found = globals()[name] = log.getLogger(_LOGS[name])
        return found
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def observe(listener: Callable[[Any], object]) -> Callable[[], None]:
    """Have a listener be told of every operation of this process; return what ends that.

    :param listener: is called with a frozen ``Started``, ``Step`` or ``Ended`` of
        :mod:`os_brick.core.records`, in the thread that does the work. It has to be quick; what it
        raises is logged, and harms nothing.
    """
    # Importing os_brick alone must stay cheap.
    from os_brick.core import observe as core_observe

    return core_observe.observe(listener)


def setup(conf: cfg.ConfigOpts, **kwargs: Any) -> None:
    """Take over the defaults that depend on the loaded configuration of the service.

    May be called any number of times. Keywords are for later versions; unknown
    ones are ignored with a warning.

    :raises oslo_config.cfg.NoSuchOptError: if ``conf`` does not have our options; in
        practice it is ``oslo_config.cfg.CONF``.
    """
    from os_brick import observers, opts

    if kwargs:
        __getattr__('LOG').warning(
            'os_brick.setup ignores unknown keywords: %s', ', '.join(sorted(kwargs))
        )
    opts.set_defaults(conf)
    observers.enable_found()


def inventory(*, everything: bool = False) -> Host:
    """Return what is on this host: volumes, the paths to them, their names and their users.

    It is what ``os-brick tree`` shows, as frozen values: read from sysfs and proc, without root,
    a lock, a program or a configuration file, and nothing is changed. What could not be read is
    in ``unread`` of the result. ``os_brick.model.inventory_document.of_host`` makes JSON of it,
    and ``os_brick.model.inventory_index.Index`` finds what an operator calls by any name.

    :param everything: whether disks of this host's own count, too.
    """
    from os_brick.host import inventory as reader

    return reader.read(everything=everything)
