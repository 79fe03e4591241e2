# SPDX-License-Identifier: Apache-2.0
"""Helpers under their public names: retry, trace, links of encrypted volumes, ..."""

from collections.abc import Callable, Iterable, Mapping
import functools
import inspect
import logging as py_logging
from typing import Any, ParamSpec, TypeVar, cast

from oslo_concurrency import processutils
from oslo_log import log as logging
import tenacity

from os_brick import executor, opts
from os_brick.core import clock
from os_brick.core import trace as core_trace
from os_brick.host import links, machine

LOG = logging.getLogger(__name__)

P = ParamSpec('P')
R = TypeVar('R')
Props = dict[str, Any]

CUSTOM_LINK_PREFIX = links.PREFIX


def _time_sleep(seconds: float) -> None:
    """Pause; tests of consumers replace this name to take the waits out of ``retry``."""
    clock.sleep(seconds)


class retry_if_exit_code(tenacity.retry_if_exception):  # noqa: N801 a public name
    """Retry a program that ended with one of these exit codes."""

    def __init__(self, codes: int | Iterable[int]) -> None:
        self.codes = (codes,) if isinstance(codes, int) else tuple(codes)
        super().__init__(self._matches)

    def _matches(self, error: BaseException) -> bool:
        return (
            isinstance(error, processutils.ProcessExecutionError) and error.exit_code in self.codes
        )


def retry(
    retry_param: Any,
    interval: float = 1,
    retries: int = 3,
    backoff_rate: float = 2,
    retry: Callable[..., Any] = tenacity.retry_if_exception_type,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator that calls a function up to ``retries`` times.

    After failed call n there is a wait of ``interval * backoff_rate ** (n - 1)``
    seconds. What the last call raised is raised.

    :param retry_param: what ``retry`` is made from: types of exceptions, or exit codes.
    :raises ValueError: if ``retries`` is less than 1.
    """
    if retries < 1:
        raise ValueError(f'retries has to be at least 1, not {retries}')

    def decorate(func: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(func)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            retrying = tenacity.Retrying(
                # Looked up at each call, so that it can be replaced.
                sleep=_time_sleep,
                before_sleep=tenacity.before_sleep_log(LOG, py_logging.DEBUG),
                after=tenacity.after_log(LOG, py_logging.DEBUG),
                stop=tenacity.stop_after_attempt(retries),
                retry=retry(retry_param),
                # tenacity 6 goes by the argument's name, retry_state, and else passes two numbers.
                wait=lambda retry_state: (
                    interval * backoff_rate ** (retry_state.attempt_number - 1)
                ),
                reraise=True,
            )
            return retrying(func, *args, **kwargs)

        return call

    return decorate


def platform_matches(current_platform: str, connector_platform: str) -> bool:
    """Whether a connector for ``connector_platform`` is for this one."""
    return connector_platform.upper() in ('ALL', current_platform.upper())


def os_matches(current_os: str, connector_os: str) -> bool:
    """Whether a connector for ``connector_os`` is for this one: LINUX is for linux2."""
    return connector_os.upper() == 'ALL' or connector_os.upper() in current_os.upper()


def merge_dict(dict1: dict[Any, Any], dict2: dict[Any, Any]) -> dict[Any, Any]:
    """Return a new dictionary of both; the second one's values win.

    :raises Exception: if either is not exactly a ``dict``.
    """
    if type(dict1) is not dict or type(dict2) is not dict:
        raise Exception(f'Only dictionaries can be merged, not {type(dict1)} and {type(dict2)}')
    return {**dict1, **dict2}


def trace(f: Callable[P, R]) -> Callable[P, R]:
    """Log at DEBUG each call of ``f``: arguments, result or error, and how long it took.

    The logger is the one of the module of the first argument, which for a method is
    that of the real class. What is secret is hidden.
    """
    signature = inspect.signature(f)

    @functools.wraps(f)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        logger = _logger_of(args, kwargs)
        if not logger.isEnabledFor(py_logging.DEBUG):
            return f(*args, **kwargs)
        logger.debug('==> %s: call %s', f.__name__, _shown_arguments(signature, args, kwargs))
        begun = clock.monotonic()
        try:
            result = f(*args, **kwargs)
        except Exception as error:
            logger.debug(
                '<== %s: exception (%dms) %s',
                f.__name__,
                (clock.monotonic() - begun) * 1000,
                core_trace.masked(error),
            )
            raise
        logger.debug(
            '<== %s: return (%dms) %s',
            f.__name__,
            (clock.monotonic() - begun) * 1000,
            core_trace.masked(result),
        )
        return result

    return call


def _logger_of(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> py_logging.LoggerAdapter[Any]:
    owner = args[0] if args else kwargs.get('self')
    name = getattr(owner, '__module__', None) or __name__
    return cast(py_logging.LoggerAdapter[Any], logging.getLogger(name))


def _shown_arguments(
    signature: inspect.Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Any:
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError:  # The call itself is going to say so.
        return core_trace.masked((args, dict(kwargs)))
    bound.apply_defaults()
    return core_trace.masked(dict(bound.arguments))


def convert_str(text: Any) -> Any:
    """Return bytes as text; anything else, a file handle for one, as it is."""
    return text.decode('utf-8') if isinstance(text, bytes) else text


def get_host_nqn(system_uuid: str | None = None) -> str | None:
    """Return the NQN of this host, made and written if there is none; None if that failed."""
    return machine.or_none(lambda: machine.host_nqn(system_uuid))


def get_nvme_host_id(uuid: str | None) -> str | None:
    """Return the NVMe ID of this host, made and written if there is none; None if that failed."""
    return machine.or_none(lambda: machine.host_id(uuid))


def get_dev_path(connection_properties: Props, device_info: Props | None) -> Any:
    """Return the path of an attached device that the caller's dictionaries name, or ''."""
    path = device_info.get('path') if device_info else None
    return convert_str(path or connection_properties.get('device_path') or '')


def get_device_size(executor: executor.Executor, device: str) -> int | None:
    """Return the size of a block device in bytes; None if blockdev prints no number.

    :raises oslo_concurrency.processutils.ProcessExecutionError: if it cannot be asked.
    """
    out, _err = executor._execute(
        'blockdev',
        '--getsize64',
        device,
        run_as_root=True,
        root_helper=executor._root_helper,
    )
    size = str(out).strip()
    return int(size) if size.isnumeric() else None


def check_valid_device(executor: executor.Executor, path: str) -> bool:
    """Whether the first block of a device can be read."""
    try:
        _out, error = executor._execute(
            'dd',
            f'if={path}',
            'of=/dev/null',
            'count=1',
            run_as_root=True,
            root_helper=executor._root_helper,
        )
    except processutils.ProcessExecutionError as failure:
        LOG.error('%s cannot be read: %s', path, failure)
        return False
    return error is not None


def get_passphrase_from_secret(key: Any) -> str:
    """Return what a managed object of the key manager means as a passphrase."""
    encoded: bytes = key.get_encoded()
    return encoded.decode('utf-8') if key.managed_type() == 'passphrase' else encoded.hex()


class Anything:
    """Equal to everything; for comparing what does not matter."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    __lt__ = __gt__ = __le__ = __ge__ = __ne__

    def __repr__(self) -> str:
        return '<Anything>'

    __str__ = __repr__


ANY = Anything()


# Paths of encrypted volumes. Callers get a link that only we own, because the
# encryptor points it to the decrypted device later; connectors see the device.


def _remove_stale_links(path: str, own: str = '') -> None:
    # Here: who asks for the connector properties pays for no import of the notes.
    from os_brick.host import stale_links

    stale_links.remove_at(path, own, '', opts.current().state_path)


def connect_volume_prepare_result(func: Callable[[Any, Props], Props]) -> Callable[..., Props]:
    """Decorate ``connect_volume``: the path of an encrypted volume becomes a link of ours.

    If the link cannot be made the volume is disconnected and that error is raised.
    It belongs outside the locks that ``disconnect_volume`` takes.
    """

    @functools.wraps(func)
    def connect(self: Any, connection_properties: Props) -> Props:
        result = func(self, connection_properties)
        path = convert_str(result['path'])
        if not isinstance(path, str):
            return result
        if not connection_properties.get('encrypted'):
            _remove_stale_links(path)
            return result
        try:
            link = links.make(path)
        except Exception as error:
            LOG.warning('No link to %s could be made, disconnecting it: %s', path, error)
            _disconnect_after(error, self, connection_properties, result)
            raise
        _remove_stale_links(path, link)
        result['path'] = link
        return result

    return connect


def _disconnect_after(
    error: Exception, connector: Any, connection_properties: Props, device_info: Props
) -> None:
    """Disconnect as far as that goes; a failure is noted on the error that came first."""
    try:
        connector.disconnect_volume(
            connection_properties, device_info, force=True, ignore_errors=True
        )
    except Exception as second:
        LOG.exception('Disconnecting %s failed, too', device_info.get('path'))
        error.add_note(f'Disconnecting failed, too: {second}')


def connect_volume_undo_prepare_result(
    f: Callable[..., Any] | None = None, unlink_after: bool = False
) -> Callable[..., Any]:
    """Decorate a method with ``connection_properties``: it sees the device, not our link.

    The dictionaries of the caller are not changed. With ``unlink_after`` the link is
    removed once the method has succeeded. It is to be the innermost decorator.
    """

    def decorate(func: Callable[..., R]) -> Callable[..., R]:
        signature = inspect.signature(func)

        @functools.wraps(func)
        def call(*args: Any, **kwargs: Any) -> R:
            bound = signature.bind(*args, **kwargs)
            link = _uncover(bound.arguments)
            # Once the volume is gone, its name may be given to another one, with a link of its own.
            seen = links.mark(link) if link and unlink_after else ''
            result = func(*bound.args, **bound.kwargs)
            if link and seen:
                _remove_link(link, seen)
            return result

        return call

    return decorate(f) if f else decorate


def _uncover(arguments: dict[str, Any]) -> str | None:
    """Put the device in the place of our link in the arguments; return the link, if any."""
    properties = arguments['connection_properties']
    if not properties.get('encrypted'):
        return None
    device_info = arguments.get('device_info')
    link = get_dev_path(properties, device_info)
    device = links.device_of(link) if isinstance(link, str) else link
    if not isinstance(link, str) or device == link:
        return None
    arguments['connection_properties'] = {**properties, 'device_path': device}
    if device_info:
        arguments['device_info'] = {**device_info, 'path': device}
    return link


def _remove_link(link: str, seen: str) -> None:
    try:
        links.remove(link, seen)
    except Exception as error:  # noqa: BLE001 a teardown, whose volume has gone
        LOG.warning('The volume is gone, but its link %s stays: %s', link, error)
