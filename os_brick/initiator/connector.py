# SPDX-License-Identifier: Apache-2.0
"""Public entry point: the connector factory, and this host's connector properties.

``connector.ISCSIConnector`` and ``os_brick.initiator.connectors.iscsi`` are there for
callers that have imported nothing but this module. A protocol that is not asked for is not
imported.
"""

from collections.abc import Callable
import platform
import socket
import sys
from typing import Any, cast

from oslo_log import log as logging
from oslo_utils import importutils

from os_brick import exception, initiator, utils
from os_brick.initiator import (
    connectors,  # noqa: F401 a name of this module's callers
    initiator_connector,
    registry,
)

LOG = logging.getLogger(__name__)

unix_connector_list = registry.classes()

_paths = {path.rpartition('.')[2]: path for path in unix_connector_list}


def __getattr__(name: str) -> Any:
    """Answer the class of a connector."""
    if name not in _paths:
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    return importutils.import_class(_paths[name])


def __dir__() -> list[str]:
    """Return the names there are, the connectors' among them."""
    return sorted({*globals(), *_paths})


def get_connector_mapping(arch: str | None = None) -> dict[str, str]:
    """Return the dotted class of each protocol on a machine, by default on this one."""
    return registry.on(arch or platform.machine())


@utils.trace
def get_connector_properties(
    root_helper: str | None,
    my_ip: str,
    multipath: bool,
    enforce_multipath: bool,
    host: str | None = None,
    execute: Any = None,
) -> dict[str, Any]:
    """Return what a storage back end has to know of this host, for every protocol.

    A protocol whose tools fail is left out with a warning.

    :param my_ip: the address under which back ends shall know this host.
    :param host: the name of this host, if not its own.
    """
    properties: dict[str, Any] = {
        'platform': platform.machine(),
        'os_type': sys.platform,
        'ip': my_ip,
        'host': host or socket.gethostname(),
    }
    keywords = {
        'host': host,
        'multipath': multipath,
        'enforce_multipath': enforce_multipath,
        'execute': execute,
    }
    for path in unix_connector_list:
        reports = _reports_of(path, properties['platform'], properties['os_type'])
        if reports is not None:
            name = path.rpartition('.')[2]
            properties.update(_probe(name, reports, root_helper, **keywords))
    return properties


def _reports_of(path: str, machine: str, system: str) -> Callable[..., dict[str, Any]] | None:
    """Return what reports the properties of a class; ``None`` if nothing does on this machine.

    The class itself does if it is loaded, or is not one of ours: what it reports may be another's.
    """
    if path.rpartition('.')[0] in sys.modules or path not in registry.REPORTS:
        connector = importutils.import_class(path)
        found: Callable[..., dict[str, Any]] = connector.get_connector_properties
        return found if _is_for(connector, machine, system) else None
    function = registry.REPORTS[path]
    if function is None or not utils.os_matches(system, initiator.OS_TYPE_LINUX):
        return None
    return cast(Callable[..., dict[str, Any]], importutils.import_class(function))


def _is_for(connector: Any, machine: str, system: str) -> bool:
    return utils.platform_matches(machine, connector.platform) and utils.os_matches(
        system, connector.os_type
    )


def _probe(
    name: str, reports: Callable[..., dict[str, Any]], root_helper: str | None, **kwargs: Any
) -> dict[str, Any]:
    """Return what one connector reports of this host; nothing if it fails."""
    try:
        return reports(root_helper, **kwargs)
    except exception.Invalid:  # What we were given is wrong: that is for the caller.
        raise
    except Exception as error:  # noqa: BLE001 one broken tool must not end all other protocols
        LOG.warning(
            '%s failed to report its connector properties, which are left out: %s', name, error
        )
        return {}


class InitiatorConnector:
    """The factory; the base class of connectors is in ``initiator_connector``."""

    @staticmethod
    def factory(
        protocol: str,
        root_helper: str | None,
        driver: Any = None,
        use_multipath: bool = False,
        device_scan_attempts: int = initiator.DEVICE_SCAN_ATTEMPTS_DEFAULT,
        arch: str | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> initiator_connector.InitiatorConnector:
        """Return a connector of ``protocol``, in upper or lower case.

        Further keywords go to the connector, which ignores those it does not know.

        :raises InvalidConnectorProtocol: if the machine has none of this protocol.
        """
        name = protocol.upper()
        mapping = get_connector_mapping(arch)
        if name not in mapping:
            raise exception.InvalidConnectorProtocol(
                f'There is no connector of protocol {protocol!r} on '
                f'{arch or platform.machine()}; there are: {", ".join(sorted(mapping))}'
            )
        kwargs |= {
            **registry.PROTOCOLS[name].keywords,
            'root_helper': root_helper,
            'driver': driver,
            'use_multipath': use_multipath,
            'device_scan_attempts': device_scan_attempts,
        }
        LOG.debug('Protocol %s is served by %s', name, mapping[name])
        kind: type[initiator_connector.InitiatorConnector] = importutils.import_class(mapping[name])
        return kind(*args, **kwargs)
