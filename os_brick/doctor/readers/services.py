# SPDX-License-Identifier: Apache-2.0
"""Reads the configuration of the services on this host that use this library."""

from __future__ import annotations

from collections.abc import Iterator
import importlib.metadata
import re
import shlex

from os_brick.core import files, glance, parts, trace
from os_brick.doctor import facts
from os_brick.doctor.readers.look import Look, why_denied
from os_brick.host import service_conf
from os_brick.host.service_conf import value

_LARGEST_BYTES = 4 << 20
# By section, the options that ask for multipath devices.
_MULTIPATH = {
    ('libvirt', 'volume_use_multipath'),
    ('libvirt', 'iscsi_use_multipath'),
    ('DEFAULT', 'use_multipath_for_image_xfer'),
    ('backend_defaults', 'use_multipath_for_image_xfer'),
}
# Where sudo looks unless its secure_path says otherwise, and what Debian and Fedora set.
_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
_SECURE_PATH = re.compile(r'^\s*Defaults\s+secure_path\s*=\s*"?([^"\n]+)"?', re.MULTILINE)
_SHEBANG = re.compile(rb'#!\s*(/\S*/python[\d.]*)')
_HELPER = 'privsep-helper'


def services(look: Look) -> tuple[facts.Service, ...]:
    """The services whose configuration is on this host."""
    found = []
    for project, path in service_conf.found():
        try:
            found.append(_service(project, path, service_conf.parsed(path)))
        except PermissionError as error:
            look.miss('services', path, why_denied(error, is_root=look.is_root))
        except (OSError, ValueError, service_conf.NotConfiguration) as error:
            # Not the text of a parser's error, which quotes the line: it may have a password.
            why = error if isinstance(error, OSError) else f'{type(error).__name__}'
            look.miss('services', path, f'it cannot be read: {why}')
    return tuple(found)


def _service(project: str, path: str, conf: service_conf.Conf) -> facts.Service:
    lock = service_conf.lock_path(project, conf)
    helper, fault = _helper(project, conf)
    wants = any(value(conf, *each).lower() in ('true', '1', 'yes', 'on') for each in _MULTIPATH)
    places = service_conf.note_paths(project, conf)
    return facts.Service(project, path, lock, wants, str(trace.masked(helper)), fault, places)


def _helper(project: str, conf: service_conf.Conf) -> tuple[str, str]:
    """The command that starts the root daemon, and what is wrong with it."""
    rootwrap = value(conf, 'DEFAULT', 'rootwrap_config', f'/etc/{project}/rootwrap.conf')
    # nova and cinder hand this over themselves (oslo.privsep's init); others have the default.
    default = f'sudo {_HELPER}'
    if project in ('nova', 'cinder'):
        default = f'sudo {project}-rootwrap {rootwrap} {_HELPER}'
    command = value(conf, 'privsep_osbrick', 'helper_command', default)
    try:
        words = shlex.split(command)
    except ValueError as error:
        return command, f'helper_command cannot be split into words: {error}'
    return command, _fault_of(words)


def _fault_of(words: list[str]) -> str:
    """What is wrong with a command that starts the root daemon; empty if nothing is."""
    places = _PATH
    if words and words[0].rpartition('/')[2] == 'sudo':
        if not _find('sudo', _PATH):
            return 'sudo is not installed'
        words = [word for word in words[1:] if not word.startswith('-')]
        places = _secure_path()
    program, *more = words or ['a program']
    if program.endswith('rootwrap'):
        return _fault_of_rootwrap(program, more, places)
    return _fault_of_program(program, places or _PATH)


def _fault_of_rootwrap(rootwrap: str, words: list[str], places: str) -> str:
    if not _find(rootwrap, places):
        return f'{rootwrap} is not in {places}'
    # Its words are its configuration, and what it is to start.
    places = _exec_dirs(words[0]) if words else ''
    return _fault_of_program(words[1] if words[1:] else 'a program', places or _PATH)


def _fault_of_program(name: str, places: str) -> str:
    program = _find(name, places)
    if not program:
        return f'{name} is not in {places}'
    return _fault_of_python(program) if program.endswith(_HELPER) else ''


def _find(program: str, places: str) -> str:
    if '/' in program:
        return program if glance.exists(program) else ''
    found = (f'{place}/{program}' for place in re.split('[:,]', places) if place.strip())
    return next((each for each in found if glance.exists(each.strip())), '')


def _secure_path() -> str:
    # Root alone may read it; what distributions write there is the default here.
    for path in ('/etc/sudoers', *files.glob('/etc/sudoers.d/*')):
        found = _SECURE_PATH.search(_text(path))
        if found:
            return found[1].strip()
    return _PATH


def _text(path: str) -> str:
    try:
        return files.read_regular(path, _LARGEST_BYTES).decode('utf-8', 'replace')
    except OSError:
        return ''


def _exec_dirs(path: str) -> str:
    found = re.search(r'^\s*exec_dirs\s*=\s*(\S+)', _text(path), re.MULTILINE)
    return found[1] if found else ''


def _fault_of_python(program: str) -> str:
    """What is wrong with the Python of a ``privsep-helper``: it has to import this release."""
    found = _SHEBANG.match(parts.read(files.realpath(program), 256))
    if found is None:
        return ''  # A wrapper in another language: nothing to be said without running it.
    prefix = found[1].decode().rpartition('/bin/')[0]
    versions = list(_versions(prefix))
    own = _own_version()
    if not versions:
        return f'{program} is run by the Python in {prefix}, which has no os_brick'
    if own and own not in versions:
        return f'{program} imports os_brick {versions[0]} of {prefix}, and this is {own}'
    return ''


def _versions(prefix: str) -> Iterator[str]:
    for kind in ('lib', 'lib64', 'local/lib'):
        pattern = f'{prefix}/{kind}/python3*/*-packages/os_brick-*.*-info'
        for place in files.glob(pattern):
            yield place.rpartition('/os_brick-')[2].rpartition('.')[0]


def _own_version() -> str:
    try:
        return importlib.metadata.version('os-brick')
    except importlib.metadata.PackageNotFoundError:
        return ''
