# SPDX-License-Identifier: Apache-2.0
"""The ways to one NVMe namespace: a controller at a portal, and the namespace behind it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
import contextlib
import dataclasses
import errno
import threading

from oslo_log import log as logging

from os_brick import exception
from os_brick.core import locks, wait
from os_brick.core import undo as core_undo
from os_brick.host import nvme, nvme_connect, nvme_refs, nvme_removal, nvme_search, tcp
from os_brick.model import fabrics, nvme_psk
from os_brick.paths import engine as opening
from os_brick.plans import nvmeof as plans
from os_brick.request import nvmeof as props_nvmeof

LOG = logging.getLogger(__name__)

# The kernel gives a target that takes the connection and says nothing more a minute (its admin
# timeout). The controller it makes then must not be forgotten, so the call outlives an attach.
CONNECT_SECONDS = 90.0


class Silent(exception.VolumeDeviceNotFound):
    """The portal of a way does not answer, or not yet again."""


class Refused(exception.VolumeDeviceNotFound):
    """The kernel or the subsystem does not connect."""


class NotAuthenticated(Refused):
    """The subsystem, or this host, does not believe the other one's secret."""


@dataclasses.dataclass(frozen=True, slots=True)
class Way:
    """One portal to a namespace."""

    target: props_nvmeof.Target
    portal: fabrics.Portal

    @property
    def lock(self) -> str:
        """What the connection is locked by."""
        return nvme.lock_of(self.target.nqn, self.portal)

    def __str__(self) -> str:
        return f'{self.target} at portal {self.portal}'


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """What an attach wants of each way.

    :ivar key: what the volume is locked by.
    :ivar host: the name and the ID of this host; ``None`` leaves them to the kernel.
    :ivar scan_seconds: how long a controller or a namespace may take to appear.
    :ivar clean_up_seconds: what taking back may take after the deadline.
    :ivar psk: the key for TLS, without which no portal over TCP is used then.
    """

    key: str
    host: tuple[str, str] | None
    options: nvme_connect.Options
    scan_seconds: float
    clean_up_seconds: float
    psk: nvme_psk.Psk | None = None

    def tls_keys(self, way: Way) -> tuple[nvme_psk.TlsKey, ...]:
        """The keys for a way, of which the subsystem knows one; none where there is no TLS.

        :raises Refused: if this host has no name.
        """
        if self.psk is None or way.portal.transport != fabrics.TCP:
            return ()
        if self.host is None:
            raise Refused(f'{way}: TLS needs the name of this host (/etc/nvme/hostnqn)')
        return self.psk.tls_keys(self.host[0], way.target.nqn)


@dataclasses.dataclass(frozen=True, slots=True)
class Brought:
    """A way that is open.

    :ivar is_new: whether the controller was made for it.
    :ivar token: by which it is in the controller's references.
    """

    way: Way
    controller: nvme.Controller
    path: nvme.Path
    is_new: bool
    token: str


class Opening(opening.Opening[Way, Brought]):
    """The opening of all ways to a namespace for one attach."""

    deciding = (exception.VolumeIdentityMismatch, NotAuthenticated)
    ending = (NotAuthenticated,)

    def __init__(self, request: Request, ways: tuple[Way, ...], deadline: wait.Deadline) -> None:
        super().__init__(request.key, ways, deadline, request.clean_up_seconds)
        self._request = request
        self._head = ''
        self.turn = threading.Lock()
        self.is_refused = False
        self._identity = fabrics.Identity()

    def answers(self, way: Way) -> None:
        """Note that a portal has answered, so that the way is worth waiting for."""
        self._answered.add(way)

    def is_wanted(self) -> bool:
        """Whether a way that is being opened is of use to anybody still."""
        return self._is_wanted()

    def joins(self, brought: Brought) -> None:
        """Have the ways that are missing join the namespace whenever they can."""
        self._head, self._identity = brought.path.head, brought.path.identity
        self.keep_joining()

    def _open_way(self, way: Way, deadline: wait.Deadline, *, ask_first: bool) -> Brought:
        with locks.lifeline() as token, core_undo.Undo() as undo:
            step = _Step(self, self._request, way, deadline, undo, token, ask_first=ask_first)
            while True:
                controller, is_new = step.controller()
                self.answers(way)
                path = step.namespace(controller, is_new=is_new)
                if path is not None:
                    return Brought(way, controller, path, is_new, token)
                # It went away meanwhile: another volume's detach was faster.

    def _take_back(self, brought: Brought, deadline: wait.Deadline) -> None:
        names = {str(brought.path.identity)}
        nvme_removal.take_back(
            brought.controller, names, brought.token, deadline, is_own=brought.is_new
        )

    def _join(self, brought: Brought, deadline: wait.Deadline) -> None:
        if brought.path.head != self._head:
            raise exception.VolumeIdentityMismatch(
                device=f'/dev/{brought.path.head}',
                expected=f'a path of /dev/{self._head}',
                actual=str(brought.path.identity),
            )

    def _is_here(self, besides: Brought | None = None) -> bool:
        late = besides.path.controller if besides else ''
        return any(
            self._identity == path.identity and path.controller != late
            for path in nvme.paths_of(self._head)
        )

    def _before_late(self, way: Way, deadline: wait.Deadline) -> None:
        why = nvme_connect.why_unreachable(way.portal, deadline.limit(tcp.REACH_SECONDS))
        if why is not None:
            raise Silent(f'Portal {way.portal} does not answer: {why}')

    def _is_silent(self, error: Exception) -> bool:
        return isinstance(error, Silent)

    def _is_final(self, error: Exception) -> bool:
        no_answer = isinstance(error, (Silent, Refused, exception.OperationTimedOut))
        no_answer = no_answer and not isinstance(error, NotAuthenticated)
        return isinstance(error, exception.BrickException) and not no_answer

    def summary(self, texts: list[str], errors: list[Exception]) -> Exception:
        return exception.VolumeDeviceNotFound('; '.join(texts))


@dataclasses.dataclass(frozen=True, slots=True)
class _Step:
    """The steps of opening one way."""

    opening: Opening
    request: Request
    way: Way
    deadline: wait.Deadline
    undo: core_undo.Undo
    token: str
    ask_first: bool = dataclasses.field(kw_only=True)

    def controller(self) -> tuple[nvme.Controller, bool]:
        """A controller at the portal that is live, and whether it was made now.

        :raises Silent: if there is none, and the portal does not answer.
        :raises Refused: if the connection fails.
        """
        seen: list[str] = []

        def probe() -> tuple[nvme.Controller, bool] | None:
            if not self.opening.is_wanted():
                raise Silent(f'{self.way} is late: nobody wants it any more')
            states = {c: nvme.state(c.name) for c in self._existing()}
            self._require_tls(states)
            live = [controller for controller, state in states.items() if state == nvme.LIVE]
            if live:
                return (live[0], False) if self._comes(live[0]) else None
            seen[:] = [f'{controller} is {state or "gone"}' for controller, state in states.items()]
            return None if states else self._connect()

        found = wait.poll(probe, self.deadline.within(self.request.scan_seconds))
        if found is None:
            why = '; '.join(seen) or 'the kernel has a connection that does not show'
            raise Silent(f'{self.way}: no controller becomes live ({why})')
        return found

    def _require_tls(self, found: Iterable[nvme.Controller]) -> None:
        plain = [controller for controller in found if not controller.is_encrypted]
        if plain and self.request.tls_keys(self.way):
            raise Refused(f'{self.way}: {plain[0]} is connected without TLS, and TLS is asked for')

    def _existing(self) -> list[nvme.Controller]:
        host = self.request.host
        name = host[0] if host else None
        return nvme.controllers_at(self.way.target.nqn, (self.way.portal,), name)

    def _connect(self) -> tuple[nvme.Controller, bool] | None:
        """A new controller; ``None`` if somebody else was faster."""
        way = self.way
        self._require_answer()
        with self._turn(), locks.hold(locks.TARGET, way.lock, self.deadline):
            if self._existing():
                return None
            limit = wait.Deadline.after(CONNECT_SECONDS)
            tls = self.request.tls_keys(way)
            host, options = self.request.host, self.request.options
            try:
                made = nvme_connect.connect(way.target.nqn, way.portal, host, options, limit, tls)
            except FileExistsError:
                return None
            except exception.OperationTimedOut as error:
                raise Silent(f'{way}: {error}') from error
            except OSError as error:
                kind = NotAuthenticated if error.errno == errno.EKEYREJECTED else Refused
                self.opening.is_refused |= kind is NotAuthenticated
                words = _in_words(error)
                if tls:
                    words += '; over TLS: does tlshd run, and has the subsystem this key?'
                raise kind(f'{way}: {words}') from error
            self.undo.add(self._withdraw, made, is_own=True)
            until = self.deadline.within(self.request.scan_seconds)
            live = nvme_connect.wait_live(made, self.opening.is_wanted, until)
            if live is None:
                state = nvme.state(made.name) or 'gone'
                raise Silent(f'{way}: its controller {made.name} does not become live ({state})')
            self.undo.add(self._withdraw, live, is_own=True)
            nvme_connect.keep_for(live, self.request.options.ctrl_loss_tmo)
            nvme_refs.created(live, self.token)
        return live, True

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Let no portal be tried beside one that may refuse our secret.

        The kernel makes one connection at a time anyway; a second one that is refused just after
        the first holds it up for a minute (seen with Linux 6.12).

        :raises Refused: if the secret has been refused.
        """
        if self.request.options.dhchap_secret is None:
            yield
            return
        with self.opening.turn:
            if self.opening.is_refused:
                raise Refused(f'{self.way}: not tried, as another portal has refused the secret')
            yield

    def _comes(self, controller: nvme.Controller) -> bool:
        """Note that this attach uses a controller; whether it is still there."""
        with locks.hold(locks.TARGET, self.way.lock, self.deadline):
            if not nvme.is_there(controller):
                return False
            self.undo.add(self._withdraw, controller, is_own=False)
            nvme_refs.acquire(controller, self.token)
            return True

    def _withdraw(self, controller: nvme.Controller, *, is_own: bool) -> None:
        """Release a controller; if its last user released it meanwhile, it goes now."""
        until = wait.Deadline.after(self.request.clean_up_seconds)
        names = {str(path.identity) for path in self._matching(controller)} if is_own else set()
        nvme_removal.take_back(controller, names, self.token, until, is_own=is_own)

    def _require_answer(self) -> None:
        if not self.ask_first or self.way.portal.transport != fabrics.TCP:
            return
        why = nvme_connect.why_unreachable(self.way.portal, self.deadline.limit(tcp.REACH_SECONDS))
        if why is not None:
            raise Silent(f'{self.way}: it does not answer ({why})')
        self.opening.answers(self.way)

    def _matching(self, controller: nvme.Controller) -> list[nvme.Path]:
        return plans.matching(self.way.target.identity, nvme.paths(controller.name))

    def namespace(self, controller: nvme.Controller, *, is_new: bool) -> nvme.Path | None:
        """The namespace behind a controller, which says itself that it is the one.

        :return: ``None`` if the controller has gone meanwhile.
        :raises VolumeDeviceNotFound: if the subsystem does not show it in time.
        :raises VolumeIdentityMismatch: if another one is in its place.
        """
        until = self.deadline.within(self.request.scan_seconds)
        search = nvme_search.Search(self.way.target.identity, controller, until, is_new=is_new)

        def probe() -> nvme.Path | bool | None:
            return search.look() if nvme.is_there(controller) else False

        answer = wait.poll(probe, until)
        if answer is None:
            raise search.failure(str(self.way))
        if not isinstance(answer, nvme.Path):
            return None
        with locks.hold(locks.TARGET, self.way.lock, self.deadline):
            name = str(answer.identity)
            nvme_refs.confirm(controller, self.request.key, self.token, name)
        return answer


# What the kernel's numbers mean here (drivers/nvme/host/fabrics.c, auth.c).
_WORDS = {
    errno.EINVAL: 'the kernel refuses the options (another host ID or name in use?)',
    errno.ECONNREFUSED: 'nobody listens there',
    errno.EKEYREJECTED: 'authentication has failed',
    errno.EACCES: 'the subsystem does not let this host in',
}


def _in_words(error: OSError) -> str:
    words = _WORDS.get(error.errno or 0)
    return f'{words} ({error})' if words else str(error)
