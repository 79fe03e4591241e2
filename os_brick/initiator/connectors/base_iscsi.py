# SPDX-License-Identifier: Apache-2.0
"""Targets of connection properties, one by one, as connectors of others use them."""

from collections.abc import Iterator, Sequence
import copy
from typing import Any

from os_brick.initiator import initiator_connector

Triple = tuple[Any, Any, Any]

_PLURAL = ('target_portals', 'target_iqns', 'target_luns')


class BaseISCSIConnector(initiator_connector.InitiatorConnector):
    """Mixed in where volumes are reached by portals, IQNs and LUNs."""

    @staticmethod
    def _get_luns(con_props: dict[str, Any], iqns: Sequence[Any] | None = None) -> list[Any]:
        """Return a LUN for each target: each its own, or the same for all.

        :raises KeyError: if the properties name none.
        """
        luns = con_props.get('target_luns')
        if luns:
            return list(luns)
        return [con_props['target_lun']] * len(iqns or con_props['target_iqns'])

    def _get_all_targets(self, connection_properties: dict[str, Any]) -> list[Triple]:
        """Return portal, IQN and LUN of each target; the shortest list counts.

        :raises KeyError: if the properties name no target.
        """
        props = connection_properties
        if 'target_portals' in props and 'target_iqns' in props:
            luns = self._get_luns(props)
            return list(zip(props['target_portals'], props['target_iqns'], luns, strict=False))
        return [(props['target_portal'], props['target_iqn'], props.get('target_lun', 0))]

    def _iterate_all_targets(
        self, connection_properties: dict[str, Any]
    ) -> Iterator[dict[str, Any]]:
        """Yield properties of their own for each target."""
        for portal, iqn, lun in self._get_all_targets(connection_properties):
            props = copy.deepcopy(connection_properties)
            props.update(target_portal=portal, target_iqn=iqn, target_lun=lun)
            for key in _PLURAL:
                props.pop(key, None)
            yield props
