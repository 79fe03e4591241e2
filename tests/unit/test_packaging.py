# SPDX-License-Identifier: Apache-2.0
"""What distributions build from, and what is in it."""

import ast
import configparser
import os
import pathlib
import re
import shutil
import subprocess
import sys

from oslo_config import cfg
import pytest

from os_brick import privileged

ROOT = pathlib.Path(__file__).parents[2]
SETUP = configparser.ConfigParser()
SETUP.read(ROOT / 'setup.cfg')
VERSION = SETUP['metadata']['version']
DATA = ('py.typed', 'doctor/catalogue.toml')
# Imported only where they are there, or by one caller that has them anyway.
OBSERVERS = {'opentelemetry', 'osprofiler', 'prometheus_client'}
OPTIONAL = {'eventlet', 'rados', 'rbd', 'oslo_vmware', 'castellan', *OBSERVERS}


def _requirements(name: str) -> dict[str, str]:
    lines = (line.partition('#')[0].strip() for line in (ROOT / name).read_text().splitlines())
    return dict(re.split(r'>=|==', line) for line in lines if line)


def _run(place: pathlib.Path, *words: str) -> str:
    known = {'PBR_VERSION', 'GIT_DIR', 'GIT_WORK_TREE'}
    names = ('GIT_AUTHOR_NAME', 'GIT_AUTHOR_EMAIL', 'GIT_COMMITTER_NAME', 'GIT_COMMITTER_EMAIL')
    env = {name: value for name, value in os.environ.items() if name not in known}
    done = subprocess.run(
        words,
        cwd=place,
        env={**env, **dict.fromkeys(names, 'x')},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def archive(tmp_path: pathlib.Path) -> pathlib.Path:
    """What an archive without git has of what setup.py reads."""
    place = tmp_path / 'os-brick'
    package = place / 'os_brick'
    package.mkdir(parents=True)
    for name in ('setup.py', 'setup.cfg', 'pyproject.toml', 'requirements.txt', 'README.rst'):
        shutil.copy(ROOT / name, place)
    shutil.copy(ROOT / 'MANIFEST.in', place)
    for name in ('etc', 'contrib'):
        shutil.copytree(ROOT / name, place / name)
    (package / 'doctor').mkdir()
    for name in ('__init__.py', *DATA):
        shutil.copy(ROOT / 'os_brick' / name, package / name)
    return place


def _commit(place: pathlib.Path) -> None:
    _run(place, 'git', 'add', '-A')
    _run(place, 'git', 'commit', '-q', '--allow-empty', '-m', 'x')


def test_an_archive_without_git_has_a_version(archive: pathlib.Path) -> None:
    """pbr raised "Versioning for this project requires either an sdist tarball …"."""
    assert _run(archive, sys.executable, 'setup.py', '-q', '--version') == f'{VERSION}.dev1'


def test_what_is_built_from_an_archive_has_all_data(archive: pathlib.Path) -> None:
    """Its types, what the doctor knows, and the files for rootwrap and systemd."""
    _run(archive, sys.executable, 'setup.py', '-q', 'install_data', '--install-dir', 'data')
    _run(archive, sys.executable, 'setup.py', '-q', 'build_py', '--build-lib', 'built')
    for name in DATA:
        assert (archive / 'built' / 'os_brick' / name).exists()
    assert (archive / 'data' / 'etc/os-brick/rootwrap.d/os-brick.filters').exists()
    for path in (ROOT / 'contrib').rglob('os-brick*'):
        place = archive / 'data' / 'share/os-brick' / path.relative_to(ROOT / 'contrib')
        assert place.read_bytes() == path.read_bytes()


def test_a_source_distribution_of_an_archive_lacks_nothing(archive: pathlib.Path) -> None:
    """``contrib``, which the pages name, was not in it: only with git does pbr know all files."""
    (archive / '.pre-commit-config.yaml').touch()
    _run(archive, sys.executable, 'setup.py', '-q', 'egg_info')
    sources = (archive / 'os_brick.egg-info' / 'SOURCES.txt').read_text().splitlines()
    there = {str(path.relative_to(archive)) for path in archive.rglob('*') if path.is_file()}
    assert {path for path in there - set(sources) if 'egg-info' not in path} == set()


def test_data_are_all_that_is_no_python() -> None:
    files = (path for path in (ROOT / 'os_brick').rglob('*') if path.is_file())
    others = {
        path.relative_to(ROOT / 'os_brick').as_posix()
        for path in files
        if path.suffix not in {'.py', '.pyc'}
    }
    assert others == set(DATA)


def test_a_clone_of_one_commit_has_a_version(archive: pathlib.Path) -> None:
    _run(archive, 'git', 'init', '-q')
    _commit(archive)
    assert _run(archive, sys.executable, 'setup.py', '-q', '--version') == f'{VERSION}.dev1'


def test_a_clone_with_history_is_numbered_by_it(archive: pathlib.Path) -> None:
    _run(archive, 'git', 'init', '-q')
    for _number in range(3):
        _commit(archive)
    assert (
        _run(archive, sys.executable, 'setup.py', '-q', '--version') == f'{VERSION}.dev2'
    )  # before HEAD


def test_a_source_distribution_keeps_its_version(archive: pathlib.Path) -> None:
    (archive / 'PKG-INFO').write_text('Metadata-Version: 2.1\nName: os-brick\nVersion: 9.8.7\n')
    assert _run(archive, sys.executable, 'setup.py', '-q', '--version') == '9.8.7'


def test_every_library_that_is_imported_is_required() -> None:
    """Packagers make dependencies of requirements.txt; what comes along by chance may go."""
    named = {name.replace('.', '_').replace('-', '_') for name in _requirements('requirements.txt')}
    imported = {
        name.partition('.')[0]
        for path in (ROOT / 'os_brick').rglob('*.py')
        for node in ast.walk(ast.parse(path.read_text()))
        for name in _imports(node)
    }
    others = imported - set(sys.stdlib_module_names) - {'os_brick', '__future__'} - OPTIONAL
    assert others == named - {'PyYAML'} | {'yaml'}


def _imports(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and not node.level:
        return [str(node.module)]
    return []


def test_the_lowest_versions_are_those_that_are_tested() -> None:
    assert _requirements('lower-constraints.txt') == _requirements('requirements.txt')


@pytest.mark.parametrize('name', ['.venv', '.tox/', 'releasenotes/build/', 'doc/build/'])
def test_what_tools_make_is_not_committed(name: str) -> None:
    """tox 4.67 writes a file .venv, which ``.venv/`` does not match."""
    assert name in (ROOT / '.gitignore').read_text().splitlines()


FILTER = ROOT / 'etc' / 'os-brick' / 'rootwrap.d' / 'os-brick.filters'


def _is_let_through(words: list[str]) -> bool:
    """What the RegExpFilter of oslo.rootwrap decides: each word matches its pattern as a whole."""
    filters = configparser.RawConfigParser()
    filters.read(FILTER)
    (entry,) = filters['Filters'].values()
    kind, program, user, *patterns = [word.strip() for word in entry.split(',')]
    assert (kind, program, user) == ('RegExpFilter', 'privsep-helper', 'root')
    return len(words) == len(patterns) and all(map(re.fullmatch, patterns, words))


def test_the_filter_lets_through_what_starts_the_daemon_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(type(cfg.CONF), 'config_file', ['/etc/nova/nova.conf'], raising=False)
    command = privileged.default.helper_command('/tmp/tmpx1/privsep.sock')
    assert command[0] == 'sudo'
    words = command[1:]
    assert words[1:3] == ['--config-file', '/etc/nova/nova.conf']
    assert _is_let_through(words)
    for place, other in ((2, '/home/me/x.conf'), (4, 'nova.privsep.sys_admin_pctxt'), (0, 'sh')):
        assert not _is_let_through([*words[:place], other, *words[place + 1 :]])
    assert not _is_let_through([*words, '--more'])


def test_one_program_is_started_by_sudo_or_rootwrap() -> None:
    """All else runs in the daemon, as root already: no other filter is needed."""
    package = ROOT / 'os_brick'
    users = {
        path.relative_to(package).as_posix()
        for path in package.rglob('*.py')
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and node.value == 'sudo'
    }
    # The doctor only looks whether a service's command would be found.
    looks = {'doctor/readers/services.py'}
    assert users - looks <= {'privileged/daemon_start.py', 'privileged/programs.py'}
