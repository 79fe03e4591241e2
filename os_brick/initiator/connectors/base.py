# SPDX-License-Identifier: Apache-2.0
"""The course of an operation, written once: parse, lock, act, publish, and undo what failed."""

from __future__ import annotations

import abc
from collections.abc import Callable, Collection, Mapping
import contextlib
import dataclasses
import functools
import os
from typing import Any, ClassVar, Protocol, Self

from oslo_log import log as logging

from os_brick import exception, initiator, opts
from os_brick.core import background, files, locks, operation, teardown
from os_brick.core import undo as core_undo
from os_brick.host import block, links, multipath
from os_brick.initiator import host_driver, initiator_connector
from os_brick.request import result

LOG = logging.getLogger(__name__)
Raw = Mapping[str, Any]

synchronized = locks.synchronized


class Props(Protocol):
    """What the connection properties of every block protocol have in common."""

    @property
    def key(self) -> str:
        """What the volume is locked by."""

    @property
    def encrypted(self) -> bool:
        """Whether its path is to be a link of ours."""

    @property
    def enforce_multipath(self) -> bool:
        """Whether multipathd has to run."""

    @property
    def device_path(self) -> str | None:
        """The path the caller used."""

    @classmethod
    def parse(cls, raw: object, device_info: object = None) -> Self:
        """Read a caller's dictionary."""


class BaseLinuxConnector(initiator_connector.InitiatorConnector):
    """A connector on Linux."""

    os_type = initiator.OS_TYPE_LINUX
    use_multipath: bool = False

    def __init__(
        self,
        root_helper: str | None,
        driver: Any = None,
        execute: Callable[..., Any] | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        if driver is None:
            driver = host_driver.HostDriver()
        super().__init__(root_helper, driver, execute, *args, **kwargs)

    @staticmethod
    def get_connector_properties(
        root_helper: str | None, *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        """Return what the caller passes for multipath."""
        return {
            'multipath': kwargs['multipath'],
            'enforce_multipath': kwargs['enforce_multipath'],
        }

    def check_valid_device(self, path: str, run_as_root: bool = True) -> bool:
        """Whether the start of a volume can be read.

        :param run_as_root: ignored; it is always read as root.
        """
        name = block.name_of(os.fsdecode(path))
        return name is not None and block.is_readable(name)

    def get_all_available_volumes(self, connection_properties: Raw | None = None) -> list[str]:
        """Return every path in the search path."""
        place = self.get_search_path()
        return [f'{place}/{name}' for name in files.names(place)] if place else []

    def supports_multipath(self) -> bool:
        """Whether this host can build multipath maps now."""
        return False

    def check_multipath(self, connection_properties: Raw) -> None:
        """Have multipath be possible where it is enforced.

        :raises BrickException: if it is wanted and enforced, and not possible.
        """
        if self.use_multipath and not self.supports_multipath():
            self._without_multipath(bool(connection_properties.get('enforce_multipath')))

    @staticmethod
    def _without_multipath(enforced: bool) -> None:
        if enforced:
            raise exception.BrickException(
                'Multipath is enforced and multipathd does not answer: nothing was attached'
            )
        LOG.warning('Multipath is wanted and multipathd does not answer: one path is used')


class BlockConnector(BaseLinuxConnector):
    """A connector whose volumes are block devices of this host.

    A protocol writes the three methods with an underscore. Nothing of a call is kept on ``self``.
    """

    Props: ClassVar[type[Any]]
    # Whether a detach itself removes the link of an encrypted volume.
    _plans_links: ClassVar[bool] = False

    @abc.abstractmethod
    def _attach(self, props: Any, op: operation.Operation) -> result.BlockDevice:
        """Bring the volume here; remember in ``op.undo`` what this call has done."""

    @abc.abstractmethod
    def _detach(
        self, props: Any, steps: teardown.Teardown, op: operation.Operation
    ) -> Collection[str]:
        """Take the volume away; return the names of its devices where links of ours are left."""

    @abc.abstractmethod
    def _extend(self, props: Any, op: operation.Operation) -> int:
        """Have the host see the volume's new size; return it in bytes."""

    def supports_multipath(self) -> bool:
        """Whether multipathd runs."""
        return multipath.is_running()

    def _has_multipath(self, enforced: bool) -> bool:
        """Whether multipath is possible now.

        :raises BrickException: if it is not, and enforced.
        """
        if self.supports_multipath():
            return True
        self._without_multipath(enforced)
        return False

    @staticmethod
    def _operation(name: str, props: Any) -> contextlib.AbstractContextManager[operation.Operation]:
        # A late path holds the lock while it opens, and ends soon if it is told to.
        background.interrupt(props.key)
        return operation.begin(name, props, (locks.VOLUME, props.key), opts.current())

    def connect_volume(self, connection_properties: Raw) -> dict[str, Any]:
        """Attach a volume.

        :return: ``type``, ``path``, ``scsi_wwn``, and ``multipath_id`` if it is a multipath map.
        :raises InvalidParameterValue: naming the property that is missing or wrong.
        :raises VolumeDeviceNotFound: if it does not appear, or cannot be read.
        :raises VolumeIdentityMismatch: if another volume is in its place.
        :raises FailedISCSITargetPortalLogin: if no path to it opens.
        :raises OperationTimedOut: if the deadline passes.
        """
        props = self.Props.parse(connection_properties)
        with self._operation('connect', props) as op:
            attached = self._attach(props, op)
            if props.encrypted:
                attached = _behind_link(attached, op.undo)
            return attached.as_dict()

    def disconnect_volume(
        self,
        connection_properties: Raw,
        device_info: Raw | None,
        force: bool = False,
        ignore_errors: bool = False,
    ) -> None:
        """Detach a volume; one that is not there is detached already.

        :param device_info: what ``connect_volume`` returned, ``None`` or ``{}``.
        :param force: go on where its data could not be written back, or it is in use.
        :param ignore_errors: with ``force``, do not raise what went wrong.
        :raises VolumeInUse: if it is in use, without ``force``.
        :raises ExceptionChainer: with ``force``, all that went wrong.
        """
        props = self.Props.parse(connection_properties, device_info)
        on_error = teardown.OnError.of(force, ignore_errors)
        operation.remove(
            *('disconnect', props, (locks.VOLUME, props.key), opts.current(), on_error),
            functools.partial(self._disconnect, props),
        )

    def _disconnect(self, props: Any, op: operation.Operation, steps: teardown.Teardown) -> None:
        before = _led_by_links() if props.encrypted and not self._plans_links else {}
        # Once a device is gone, its name may be given to another volume, with a link of its own.
        marks = {link: links.mark(link) for link in before}
        gone = set(self._detach(props, steps, op))
        if not props.encrypted or self._plans_links:
            return
        given = props.device_path or ''
        # Not every caller knows the link; one that led to the device leads nowhere now. Another
        # volume's does so for a moment, too, while that is detached.
        dangling = [link for link, to in before.items() if to & gone and not files.exists(link)]
        device = links.device_of(given)
        # What a caller has kept may be another volume's by now, whose device is there.
        is_own = not files.exists(device) or self._still_shows(props, device)
        own = [given] if device != given and is_own else []
        for link in dict.fromkeys([*own, *dangling]):
            remove = functools.partial(links.remove, link, marks.get(link, ''))
            steps.run(f'removal of link {link}', remove)

    def _still_shows(self, props: Any, device: str) -> bool:
        """Whether a device that is here after a detach is the volume's all the same."""
        return False

    def extend_volume(self, connection_properties: Raw) -> int:
        """Have the host see a volume's new size.

        :return: the size in bytes; of an encrypted volume that of the device below.
        :raises VolumePathsNotFound: if the volume is not here.
        """
        props = self.Props.parse(connection_properties)
        with self._operation('extend', props) as op:
            return self._extend(props, op)


def _led_by_links() -> dict[str, set[str]]:
    """The devices that each link of ours leads to, and was made for, by their names."""
    found = {link: (link, links.device_of(link)) for link in links.every()}
    return {
        link: {name for path in paths if (name := block.name_of(path))}
        for link, paths in found.items()
    }


def _behind_link(attached: result.BlockDevice, undo: core_undo.Undo) -> result.BlockDevice:
    link = links.make(attached.path)
    undo.add(links.remove, link, links.mark(link))
    return dataclasses.replace(attached, path=link)
