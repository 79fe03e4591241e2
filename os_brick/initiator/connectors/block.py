# SPDX-License-Identifier: Apache-2.0
"""The course of an operation, written once: parse, lock, act, publish, and undo what failed."""

from __future__ import annotations

import abc
from collections.abc import Collection, Mapping
import contextlib
import dataclasses
import functools
from typing import Any, ClassVar

from os_brick import opts
from os_brick.core import background, files, locks, observe, operation, teardown
from os_brick.core import undo as core_undo
from os_brick.host import block, links, multipathd, note_entry, stale_links
from os_brick.initiator.connectors import base
from os_brick.model import settings as settings_module
from os_brick.plans import acts
from os_brick.plans import steps as steps_module
from os_brick.request import common, result

Raw = Mapping[str, Any]


class BlockConnector(base.BaseLinuxConnector):
    """A connector whose volumes are block devices of this host.

    A protocol writes the three methods with an underscore. Nothing of a call is kept on ``self``.
    """

    Request: ClassVar[type[common.BlockRequest]]
    # Whether a detach itself removes the link of an encrypted volume.
    _plans_links: ClassVar[bool] = False
    # Whether several volumes that are locked by the same may be attached side by side.
    _has_namesakes: ClassVar[bool] = False

    @abc.abstractmethod
    def _attach(self, request: Any, op: operation.Operation) -> result.BlockDevice:
        """Bring the volume here; remember in ``op.undo`` what this call has done."""

    def _announce(self, request: Any) -> None:
        """Tell others of a volume that is attached; nothing can fail after that."""

    @abc.abstractmethod
    def _detach(
        self, request: Any, steps: teardown.Teardown, op: operation.Operation
    ) -> Collection[str]:
        """Take the volume away; return the names of its devices where links of ours are left."""

    @abc.abstractmethod
    def _extend(self, request: Any, op: operation.Operation) -> int:
        """Have the host see the volume's new size; return it in bytes."""

    def plan(
        self,
        operation_name: str,
        connection_properties: Raw,
        device_info: Raw | None = None,
        *,
        force: bool = False,
    ) -> tuple[steps_module.Plan[Any], ...]:
        """What an operation would do now, as far as this host tells.

        Nothing is changed, no lock is taken, and no target is asked. An operation looks once more
        at each path when its turn comes.

        :param operation_name: ``attach``, ``detach`` or ``extend``.
        :param force: as of a detach.
        :raises InvalidParameterValue: naming the property that is missing or wrong.
        :raises VolumePathsNotFound: if a volume that is to be extended is not here.
        :raises NotImplementedError: with the reason, where it is decided while it is done.
        """
        request = self.Request.parse(connection_properties, device_info)
        looking = operation.looking(request.key, opts.current())
        return self._plan(operation_name, request, looking, force=force)

    def _plan(
        self, operation_name: str, request: Any, op: operation.Operation, *, force: bool
    ) -> tuple[steps_module.Plan[Any], ...]:
        raise NotImplementedError('its connector makes no plans')

    def supports_multipath(self) -> bool:
        """Whether multipathd runs."""
        return multipathd.is_running()

    def _has_multipath(self, enforced: bool) -> bool:
        """Whether multipath is possible now.

        :raises BrickException: if it is not, and enforced.
        """
        if self.supports_multipath():
            return True
        self._without_multipath(enforced)
        return False

    def _operation(
        self, name: str, request: Any, properties: Raw
    ) -> contextlib.AbstractContextManager[operation.Operation]:
        # A late path holds the lock while it opens, and ends soon if it is told to.
        key, settings = request.key, opts.current()
        background.interrupt(key)
        entry = self._entry(properties, settings)
        return operation.begin(name, request, (locks.VOLUME, key), settings, entry)

    def _entry(self, properties: Raw, configured: settings_module.Settings) -> note_entry.Entry:
        return note_entry.Entry(
            properties, configured.state_path, has_namesakes=self._has_namesakes
        )

    def connect_volume(self, connection_properties: Raw) -> dict[str, Any]:
        """Attach a volume.

        :return: ``type``, ``path``, ``scsi_wwn``, and ``multipath_id`` if it is a multipath map.
        :raises InvalidParameterValue: naming the property that is missing or wrong.
        :raises VolumeDeviceNotFound: if it does not appear, or cannot be read.
        :raises VolumeIdentityMismatch: if another volume is in its place.
        :raises FailedISCSITargetPortalLogin: if no path to it opens.
        :raises OperationTimedOut: if the deadline passes.
        """
        request = self.Request.parse(connection_properties)
        with self._operation('connect', request, connection_properties) as op:
            attached = self._attach(request, op)
            device, who = attached.path, op.course.identity or attached.wwid or ''
            if request.encrypted:
                attached = _behind_link(attached, op.undo)
            stale_links.remove_at(device, attached.path, who, op.settings.state_path)
            self._announce(request)
            return op.course.returns(attached.as_dict())

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
        request = self.Request.parse(connection_properties, device_info)
        settings, on_error = opts.current(), teardown.OnError.of(force, ignore_errors)
        entry = self._entry(connection_properties, settings)

        def act(op: operation.Operation, steps: teardown.Teardown) -> None:
            stale = stale_links.of_volume(entry.known, settings.state_path)
            self._disconnect(_with_noted(request, entry), op, steps, stale)

        operation.remove(
            *('disconnect', request, (locks.VOLUME, request.key), settings, on_error, act, entry)
        )

    def _disconnect(
        self, request: Any, op: operation.Operation, steps: teardown.Teardown, stale: str
    ) -> None:
        """Detach, and remove links of ours.

        :param stale: the link of the volume if another device has the name of its own; or empty.
        """
        is_here = request.encrypted and not self._plans_links
        before = _led_by_links() if is_here else {}
        # Once a device is gone, its name may be given to another volume, with a link of its own.
        marks = {link: links.mark(link) for link in (*before, *filter(None, [stale]))}
        gone = set(self._detach(request, steps, op))
        # Not every caller knows the link; one that led to the device leads nowhere now. Another
        # volume's does so for a moment, too, while that is detached.
        dangling = [link for link, to in before.items() if to & gone and not files.exists(link)]
        kept = self._kept_link(request) if is_here else []
        left = [stale] if stale and links.mark(stale) == marks[stale] != '' else []
        for link in dict.fromkeys([*kept, *dangling, *left]):
            remove = functools.partial(links.remove, link, marks.get(link, ''))
            steps.run(acts.Act(acts.Link.REMOVE, link), remove)

    def _kept_link(self, request: Any) -> list[str]:
        """The link that the caller has kept, unless it is another volume's by now."""
        given = request.device_path or ''
        device = links.device_of(given)
        is_own = not files.exists(device) or self._still_shows(request, device)
        return [given] if device != given and is_own else []

    def _still_shows(self, request: Any, device: str) -> bool:
        """Whether a device that is here after a detach is the volume's all the same."""
        return False

    def extend_volume(self, connection_properties: Raw) -> int:
        """Have the host see a volume's new size.

        :return: the size in bytes; of an encrypted volume that of the device below.
        :raises VolumePathsNotFound: if the volume is not here.
        """
        request = self.Request.parse(connection_properties)
        with self._operation('extend', request, connection_properties) as op:
            return self._extend(request, op)


def _with_noted(request: Any, entry: note_entry.Entry) -> Any:
    """A request with what its attach has noted, if the volume can be told by that."""
    if not isinstance(request, common.ScsiRequest) or entry.known is None:
        return request
    return dataclasses.replace(request, noted_wwid=entry.known.identity or None)


def link_steps(request: common.BlockRequest, devices: Collection[str]) -> tuple[acts.Act, ...]:
    """The steps by which a detach removes the links of an encrypted volume.

    :param devices: the names of its devices, which go.
    """
    if not request.encrypted:
        return ()
    given = request.device_path or ''
    own = [given] if links.device_of(given) != given else []
    led = [link for link, to in _led_by_links().items() if not to.isdisjoint(devices)]
    return acts.links_removed(dict.fromkeys([*own, *led]))


def _led_by_links() -> dict[str, set[str]]:
    """The devices that each link of ours leads to, and was made for, by their names."""
    found = {link: (link, links.device_of(link)) for link in links.every()}
    return {
        link: {name for path in paths if (name := block.name_of(path))}
        for link, paths in found.items()
    }


def _behind_link(attached: result.BlockDevice, undo: core_undo.Undo) -> result.BlockDevice:
    link, _ = links.plan(attached.path)
    before = links.mark(link)
    undo.add(links.take_back, link, before, links.where(link))
    try:
        with observe.step(acts.Link.MAKE, attached.path):
            links.make(attached.path)
    except Exception:
        raise
    except BaseException:  # Root may still be about to make it.
        undo.add(links.await_made, link, before)
        raise
    return dataclasses.replace(attached, path=link)
