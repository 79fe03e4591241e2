# SPDX-License-Identifier: Apache-2.0
"""What the files of the services of this host say, as their own processes would read them.

The file, then those of its ``conf.d`` directories. Without oslo.config, which takes longer to be
imported than a look at the host.
"""

from __future__ import annotations

import configparser
import re

from os_brick.core import files

# Project, and its configuration files; those that exist count.
PROJECTS = {
    'nova': ('/etc/nova/nova.conf', '/etc/nova/nova-cpu.conf'),
    'cinder': ('/etc/cinder/cinder.conf',),
    'glance': ('/etc/glance/glance-api.conf',),
    'ironic': ('/etc/ironic/ironic.conf',),
}
_LARGEST_BYTES = 4 << 20
_VARIABLE = re.compile(r'\$\{?(\w+)\}?')

Conf = configparser.RawConfigParser
NotConfiguration = configparser.Error


def parsed(path: str) -> Conf:
    """A service's configuration.

    :raises OSError: if a file of it cannot be read, or is not a regular one.
    :raises configparser.Error: if it is something else. Its text quotes a line, which may have a
        password.
    """
    conf = configparser.RawConfigParser(strict=False, allow_no_value=True, default_section='')
    base, _, name = path.rpartition('/')
    more = [*files.glob(f'{base}/{name}.d/*.conf'), *files.glob(f'{base}/conf.d/*.conf')]
    for each in (path, *more):
        text = files.read_regular(each, _LARGEST_BYTES).decode('utf-8', 'replace')
        conf.read_string(text, source=each)
    return conf


def value(conf: Conf, section: str, name: str, default: str = '') -> str:
    """An option as it is written; the default where there is none."""
    text = conf.get(section, name, fallback=None)
    return default if text is None else text.strip()


def lock_path(project: str, conf: Conf) -> str:
    """The directory of a service's lock files; empty if it has none."""
    found = value(conf, 'os_brick', 'lock_path') or value(conf, 'oslo_concurrency', 'lock_path')
    return _filled(project, conf, found)


def note_paths(project: str, conf: Conf) -> tuple[str, ...]:
    """Where a service may have notes of attaches: its own place for them, and beside its locks."""
    own = _filled(project, conf, value(conf, 'os_brick', 'state_path'))
    return tuple(each for each in (own, lock_path(project, conf)) if each.startswith('/'))


def _filled(project: str, conf: Conf, text: str) -> str:
    """A path with what its variables mean."""
    state = value(conf, 'DEFAULT', 'state_path', f'/var/lib/{project}')
    known = {'state_path': state, 'pybasedir': '/usr'}
    return _VARIABLE.sub(lambda found: known.get(found[1], found[0]), text).rstrip('/')
