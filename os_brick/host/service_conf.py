# SPDX-License-Identifier: Apache-2.0
"""What the files of the services of this host say, as their own processes would read them.

The one reader of them: of commands that look and that change, and of the doctor. Without
oslo.config, which takes longer to be imported than a look at the host, and which cannot fill in the
variables of a service that it does not run in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
import configparser
import re

from os_brick.core import files, glance

# Project, and its configuration files; those that exist count.
PROJECTS = {
    'nova': ('/etc/nova/nova.conf', '/etc/nova/nova-cpu.conf'),
    'cinder': ('/etc/cinder/cinder.conf',),
    'glance': ('/etc/glance/glance-api.conf',),
    'ironic': ('/etc/ironic/ironic.conf',),
}
# What a process reads after that file: the unit of nova-compute of Debian and RDO names both.
_WITH = {'/etc/nova/nova.conf': ('/etc/nova/nova-compute.conf',)}
_LARGEST_BYTES = 4 << 20
_VARIABLE = re.compile(r'\$\{?(\w+)\}?')

Conf = configparser.RawConfigParser
NotConfiguration = configparser.Error


def found() -> Iterator[tuple[str, str]]:
    """The services whose configuration is in its usual place: project and file."""
    for project, paths in PROJECTS.items():
        yield from ((project, path) for path in paths if glance.exists(path))


def project_of(path: str) -> str:
    """The project whose file it is, by its directory or its name; empty if neither tells."""
    words = re.findall('[a-z]+', path.lower())
    return next((word for word in reversed(words) if word in PROJECTS), '')


def files_of(path: str) -> list[str]:
    """The files that a service reads with its main one, in the order in which later ones count.

    First what a distribution ships for it (RDO), last those of its ``conf.d`` directories.
    """
    base, _, name = path.rpartition('/')
    project = project_of(path)
    first = [f'/usr/share/{project}/{project}-dist.conf'] if path.startswith('/etc/') else []
    more = [*files.glob(f'{base}/{name}.d/*.conf'), *files.glob(f'{base}/conf.d/*.conf')]
    known = [*filter(glance.exists, first), path, *filter(glance.exists, _WITH.get(path, ()))]
    return [*known, *more]


def parsed(path: str) -> Conf:
    """A service's configuration, by its main file.

    :raises OSError: if a file of it cannot be read, or is not a regular one.
    :raises configparser.Error: if it is something else. Its text quotes a line, which may have a
        password.
    """
    return merged(files_of(path))


def merged(paths: Iterable[str]) -> Conf:
    """The configuration of exactly these files; the last one that has an option counts.

    :raises OSError: as :func:`parsed`, as is ``configparser.Error``.
    """
    conf = configparser.RawConfigParser(strict=False, allow_no_value=True, default_section='')
    # As oslo.config has them: ``Lock_Path`` is another option.
    conf.optionxform = str  # type: ignore[method-assign,assignment]
    for each in paths:
        text = files.read_regular(each, _LARGEST_BYTES).decode('utf-8', 'replace')
        conf.read_string(text, source=each)
    return conf


def value(conf: Conf, section: str, name: str, default: str = '') -> str:
    """An option as oslo.config reads it; the default where there is none.

    A group but ``DEFAULT`` may be spelled in any case, and one pair of quotes around a value is not
    part of it.
    """
    spelled = (each for each in conf.sections() if _group(each) == _group(section))
    texts = [text for each in spelled if (text := conf.get(each, name, fallback=None)) is not None]
    return _unquoted(texts[-1].strip()) if texts else default


def _group(section: str) -> str:
    return section if section == 'DEFAULT' else section.lower()


def _unquoted(text: str) -> str:
    is_quoted = len(text) > 1 and text[0] == text[-1] and text[0] in '"\''
    return text[1:-1] if is_quoted else text


def lock_path(project: str, conf: Conf) -> str:
    """The directory of a service's lock files; empty if it has none."""
    found = value(conf, 'os_brick', 'lock_path') or value(conf, 'oslo_concurrency', 'lock_path')
    return _filled(project, conf, found)


def note_paths(project: str, conf: Conf) -> tuple[str, ...]:
    """Where a service may have notes of attaches: its own place for them, and beside its locks."""
    found = (state_path(project, conf), lock_path(project, conf))
    return tuple(each for each in found if each.startswith('/'))


def state_path(project: str, conf: Conf) -> str:
    """The directory that a service is told to keep its notes in; empty for the default one."""
    return _filled(project, conf, value(conf, 'os_brick', 'state_path'))


def _filled(project: str, conf: Conf, text: str) -> str:
    """A path with what its variables mean."""
    state = value(conf, 'DEFAULT', 'state_path', f'/var/lib/{project}')
    known = {'state_path': state, 'pybasedir': '/usr'}
    return _VARIABLE.sub(lambda found: known.get(found[1], found[0]), text).rstrip('/')
