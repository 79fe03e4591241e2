# SPDX-License-Identifier: Apache-2.0
"""Paths to an NVMe namespace: a controller at a portal, and the namespace behind it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
import contextlib
import dataclasses
import errno
import threading

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import locks, net, observe, undo, wait
from os_brick.host import nvme, nvme_connect, nvme_refs, nvme_removal, nvme_search, nvme_survey
from os_brick.model import fabrics, nvme_psk, settings
from os_brick.paths.attempt import Attempt
from os_brick.plans import nvme_attach as plans
from os_brick.plans import verdicts
from os_brick.plans.nvme_attach import Verb
from os_brick.request import nvmeof as request_nvmeof

LOG = logging.getLogger(__name__)
HostRefused, NotAuthenticated = verdicts.HostRefused, verdicts.NotAuthenticated

# The kernel gives a target that takes the connection and sends nothing more a minute (its admin
# timeout). The controller it makes then must not be forgotten, so the call outlives an attach.
CONNECT_SECONDS = 90.0


class PortalUnreachable(verdicts.PathUnreachable, exception.VolumeDeviceNotFound):
    """The portal of a path does not answer, or not yet again."""


@dataclasses.dataclass(frozen=True, slots=True)
class NvmePath:
    """A path to a namespace: one portal."""

    namespace: request_nvmeof.Namespace
    portal: fabrics.NvmePortal

    @property
    def lock(self) -> str:
        """What the connection is locked by."""
        return fabrics.lock_of(self.namespace.nqn, self.portal)

    def __str__(self) -> str:
        return f'{self.namespace} at portal {self.portal}'


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """What an attach wants of each path.

    :ivar key: what the volume is locked by.
    :ivar host: the name and the ID of this host; ``None`` leaves them to the kernel.
    :ivar scan_seconds: how long a controller or a namespace may take to appear.
    :ivar clean_up_seconds: what taking back may take after the deadline.
    :ivar psk: the key for TLS, without which no portal over TCP is used then.
    """

    key: str
    host: tuple[str, str] | None
    options: settings.NVMe
    scan_seconds: float
    clean_up_seconds: float
    psk: nvme_psk.Psk | None = None

    def tls_keys(self, path: NvmePath) -> tuple[nvme_psk.TlsKey, ...]:
        """The keys for a path, of which the subsystem knows one; none where there is no TLS.

        :raises HostRefused: if this host has no name.
        """
        if self.psk is None or path.portal.transport != fabrics.TCP:
            return ()
        if self.host is None:
            raise HostRefused(f'{path}: TLS needs the name of this host (/etc/nvme/hostnqn)')
        return self.psk.tls_keys(self.host[0], path.namespace.nqn)


@dataclasses.dataclass(frozen=True, slots=True)
class _Use:
    """A try to open a path.

    :ivar token: by which it is in the references of its controller.
    """

    path: NvmePath
    attempt: Attempt
    token: str

    def remember(self, controller: fabrics.Controller, *, is_own: bool, is_found: bool) -> None:
        """Have the use of a controller be taken back if the try fails.

        :param is_own: whether it was made for this path.
        :param is_found: whether the namespace was found behind it.
        """
        wanted, plain = undo.plain(self.path.namespace.identity), undo.plain(controller)
        seconds = self.attempt.clean_up_seconds
        self.attempt.made.add(
            nvme_removal.withdraw, plain, wanted, self.token, is_own, is_found, seconds
        )


@dataclasses.dataclass(frozen=True, slots=True)
class _Found:
    """A live controller at the portal of a path.

    :ivar is_new: whether it was made for the path.
    """

    controller: fabrics.Controller
    is_new: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class OpenPath:
    """A path that is open.

    :ivar is_new: whether the controller was made for it.
    """

    path: NvmePath
    controller: fabrics.Controller
    namespace: fabrics.Path
    is_new: bool


class Driver:
    """Opens NVMe paths.

    ``_is_refused`` is read and written by the holder of ``_turn``.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self._turn = threading.Lock()
        self._is_refused = False

    def reachable(self, path: NvmePath, deadline: wait.Deadline, *, ask: bool) -> bool:
        """Have a controller, or a portal that can be reached.

        :raises PortalUnreachable: if there is neither.
        """
        if not (ask and plans.has(self.steps(path), Verb.ASK_PORTAL)):
            return False
        with observe.step(Verb.ASK_PORTAL, path):
            why = nvme_connect.why_unreachable(path.portal, deadline.limit(net.REACH_SECONDS))
        if why is not None:
            raise PortalUnreachable(f'{path}: it does not answer ({why})')
        return True

    def steps(
        self, path: NvmePath, states: Mapping[fabrics.Controller, str] | None = None
    ) -> tuple[plans.Step, ...]:
        """What is to be done for a path, as it is now.

        :param states: its controllers, if they were looked at just now.
        """
        found = self.existing(path) if states is None else states
        return plans.path_steps(
            str(path),
            nvme_survey.described(found),
            str(path.namespace.identity),
            may_ask=path.portal.transport == fabrics.TCP,
        )

    def open(self, path: NvmePath, attempt: Attempt) -> OpenPath:
        """Connect to a portal if need be, and find the namespace behind the controller.

        :raises PortalUnreachable: if there is no controller, and the portal does not answer.
        :raises HostRefused: if the connection fails.
        :raises VolumeDeviceNotFound: if the subsystem does not show the namespace in time.
        :raises VolumeIdentityMismatch: if another one is in its place.
        """
        with locks.lifeline() as token:
            one = _Use(path, attempt, token)
            while True:
                found = self._controller(one)
                attempt.respond()
                with observe.step(Verb.FIND, path):
                    namespace = self._namespace(one, found)
                if namespace is not None:
                    return OpenPath(path, found.controller, namespace, found.is_new)
                # It went away meanwhile: another volume's detach was faster.

    def _controller(self, one: _Use) -> _Found:
        """A controller at the portal that is live."""
        path, attempt = one.path, one.attempt
        seen: list[str] = []

        def probe() -> _Found | None:
            if not attempt.is_wanted:
                raise verdicts.CalledOff(path=path)
            states = self.existing(path)
            self._require_tls(path, states)
            steps = self.steps(path, states)
            if plans.has(steps, Verb.CONNECT):
                return self._connect(one)
            seen[:] = _described(states)
            name = plans.controller_of(steps, Verb.USE_CONTROLLER)
            live = next((each for each in states if each.name == name), None)
            return _Found(live) if live and self._acquire(one, live) else None

        found = wait.poll(probe, attempt.deadline.within(self._request.scan_seconds))
        if found is None:
            why = '; '.join(seen) or 'the kernel has a connection that does not show'
            raise PortalUnreachable(f'{path}: no controller becomes live ({why})')
        return found

    def _require_tls(self, path: NvmePath, found: Iterable[fabrics.Controller]) -> None:
        plain = [controller for controller in found if not controller.is_encrypted]
        if plain and self._request.tls_keys(path):
            raise HostRefused(f'{path}: {plain[0]} is connected without TLS, and TLS is asked for')

    def existing(self, path: NvmePath) -> dict[fabrics.Controller, str]:
        """The controllers at the portal that keep another from being made, and their states."""
        host = self._request.host
        found = nvme.controllers_at(path.namespace.nqn, (path.portal,), host[0] if host else None)
        states = {controller: nvme.state(controller.name) for controller in found}
        # The kernel connects beside one that is going or dead (nvmf_ctlr_matches_baseopts).
        return {one: state for one, state in states.items() if state not in nvme.GOING}

    def _connect(self, one: _Use) -> _Found | None:
        """A new controller; ``None`` if another process was faster."""
        path, attempt = one.path, one.attempt
        with self._one_at_a_time(path), locks.hold(locks.TARGET, path.lock, attempt.deadline):
            if self.existing(path):
                return None
            attempt.begin()
            with observe.step(Verb.CONNECT, path):
                made = self._made(one)
            if made is None:
                return None
            one.remember(made, is_own=True, is_found=False)
            until = attempt.deadline.within(self._request.scan_seconds)
            live = nvme_connect.wait_live(made, lambda: attempt.is_wanted, until)
            if live is None:
                state = nvme.state(made.name) or 'gone'
                why = f'{path}: its controller {made.name} does not become live ({state})'
                raise PortalUnreachable(why)
            if live != made:
                one.remember(live, is_own=True, is_found=False)
            nvme_connect.set_ctrl_loss_tmo(live, self._request.options.ctrl_loss_tmo)
        return _Found(live, is_new=True)

    def _made(self, one: _Use) -> fabrics.Controller | None:
        """The controller that the kernel has just made; ``None`` if it has that connection."""
        path = one.path
        tls = self._request.tls_keys(path)
        limit = wait.Deadline.after(CONNECT_SECONDS)
        host, options = self._request.host, self._request.options
        nqn = path.namespace.nqn
        try:
            with nvme_refs.intended(path.lock, one.token, host[0] if host else ''):
                return nvme_connect.connect(nqn, path.portal, host, options, limit, tls)
        except FileExistsError:
            return None
        except exception.OperationTimedOut as error:
            self._remember_late(one)
            raise PortalUnreachable(f'{path}: {error}') from error
        except OSError as error:
            if error.errno == errno.EPIPE:  # Of the daemon, which has died: not the kernel's.
                self._remember_late(one)
            kind = NotAuthenticated if error.errno == errno.EKEYREJECTED else HostRefused
            self._is_refused |= kind is NotAuthenticated
            words = plans.in_words(error)
            if tls:
                words += '; over TLS: does tlshd run, and has the subsystem this key?'
            raise kind(f'{path}: {words}') from error
        except BaseException:
            self._remember_late(one)
            raise

    def _remember_late(self, one: _Use) -> None:
        """Have the controller be taken back that the kernel has made without an answer to us."""
        for late in self.existing(one.path):  # There was none before.
            one.remember(late, is_own=True, is_found=False)

    @contextlib.contextmanager
    def _one_at_a_time(self, path: NvmePath) -> Iterator[None]:
        """Let no portal be tried beside one that may refuse our secret.

        The kernel makes one connection at a time anyway; a second one that is refused just after
        the first holds it up for a minute (seen with Linux 6.12).

        :raises HostRefused: if the secret has been refused.
        """
        if self._request.options.dhchap_secret is None:
            yield
            return
        with self._turn:
            if self._is_refused:
                why = f'{path}: not tried, as another portal has refused the secret'
                raise HostRefused(why)
            yield

    def _acquire(self, one: _Use, controller: fabrics.Controller) -> bool:
        """Enter that this attach uses a controller; whether it is still there."""
        with locks.hold(locks.TARGET, one.path.lock, one.attempt.deadline):
            if not nvme.is_there(controller):
                return False
            one.attempt.begin()
            one.remember(controller, is_own=False, is_found=False)
            nvme_refs.acquire(controller, one.token)
            return True

    def _namespace(self, one: _Use, found: _Found) -> fabrics.Path | None:
        """The namespace behind a controller, which reports itself that it is the one.

        :return: ``None`` if the controller has gone meanwhile.
        """
        attempt, controller, is_new = one.attempt, found.controller, found.is_new
        until = attempt.deadline.within(self._request.scan_seconds)
        wanted = one.path.namespace.identity
        search = nvme_search.Search(wanted, controller, until, is_new=is_new)

        def probe() -> fabrics.Path | bool | None:
            attempt.check()
            path = search.look() if nvme.is_there(controller) else False
            # Its name may have been another one's while it was looked at.
            return path if nvme.is_there(controller) else False

        answer = wait.poll(probe, until)
        if answer is None:
            raise search.failure(str(one.path))
        if not isinstance(answer, fabrics.Path):
            return None
        with locks.hold(locks.TARGET, one.path.lock, attempt.deadline):
            attempt.begin()
            if not is_new:  # Of a new one all is taken back, whatever was found.
                one.remember(controller, is_own=False, is_found=True)
            name = str(answer.identity)
            nvme_refs.confirm(controller, self._request.key, one.token, name)
        return answer

    def summary(self, texts: list[str], errors: list[Exception]) -> Exception:
        """The error of an attach for which no path has opened."""
        return exception.VolumeDeviceNotFound('; '.join(texts))


def _described(states: Mapping[fabrics.Controller, str]) -> list[str]:
    return [f'{controller} is {state or "gone"}' for controller, state in states.items()]
