# SPDX-License-Identifier: Apache-2.0
"""The table of imports: who may use whom, and who owns what alone.

Read from the source of every file, so that an import inside a function counts, too.
"""

import ast
from collections.abc import Iterator
import pathlib
from typing import TypeGuard

import pytest

ROOT = pathlib.Path(__file__).parents[2]

# The longest prefix decides to which area a module belongs. Layers are folders: what is outside its
# layer's folder has a name that consumers import.
AREAS = {
    'os_brick': 'package',
    'os_brick.opts': 'settings',
    'os_brick.version': 'settings',
    'os_brick.exception': 'model',
    'os_brick.constants': 'model',
    'os_brick.i18n': 'model',
    'os_brick.initiator': 'model',
    'os_brick.initiator.properties': 'model',
    'os_brick.model': 'model',
    'os_brick.request': 'request',
    'os_brick.plans': 'plans',
    'os_brick.core': 'core',
    'os_brick.privileged': 'privileged',
    'os_brick.host': 'host',
    'os_brick.paths': 'paths',
    'os_brick.doctor': 'doctor',
    'os_brick.executor': 'services',
    'os_brick.observers': 'observers',
    'os_brick.encryptors': 'services',
    'os_brick.caches': 'services',
    'os_brick.remotefs': 'services',
    'os_brick.local_dev': 'services',
    'os_brick.initiator.linuxrbd': 'services',
    'os_brick.initiator.linuxrbd_io': 'services',
    'os_brick.initiator.storpool_utils': 'services',
    'os_brick.initiator.initiator_connector': 'connectors',
    'os_brick.initiator.connectors': 'connectors',
    'os_brick.initiator.reports': 'connectors',
    'os_brick.initiator.connector': 'adapters',
    'os_brick.initiator.registry': 'adapters',
    'os_brick.initiator.linuxscsi': 'adapters',
    'os_brick.initiator.linuxfc': 'adapters',
    'os_brick.initiator.utils': 'adapters',
    'os_brick.initiator.host_driver': 'adapters',
    'os_brick.utils': 'adapters',
    'os_brick.cmd': 'commands',
    'os_brick.__main__': 'commands',
    'os_brick.tests': 'data of tests',
}
# Names that stand for themselves only, not for what lies below them.
EXACT = {'os_brick', 'os_brick.initiator'}

MAY_IMPORT = {
    # core: only when observe is called; test_import_cost has what an import may cost.
    'package': {'settings', 'model', 'core', 'observers'},
    'settings': {'model'},
    'model': {'model'},
    'request': {'model', 'request'},
    'plans': {'model', 'request', 'plans'},
    'core': {'model', 'core'},
    'privileged': {'model', 'core', 'privileged'},
    'host': {'model', 'plans', 'core', 'privileged', 'host'},
    # Libraries of others that are told of operations.
    'observers': {'model', 'core', 'observers'},
    'paths': {'model', 'request', 'plans', 'core', 'host', 'paths'},
    # What the doctor knows and how it judges; it changes nothing, so it needs no paths.
    'doctor': {'settings', 'model', 'plans', 'core', 'privileged', 'host', 'doctor'},
    'services': {
        *('settings', 'model', 'request', 'plans', 'core', 'privileged', 'host', 'services'),
    },
    'connectors': {
        *('settings', 'model', 'request', 'plans', 'core', 'host', 'paths', 'services'),
        'connectors',
    },
    'adapters': set(AREAS.values()) - {'commands'},
    'commands': set(AREAS.values()),
    'data of tests': set(),
}

# Modules of `connectors` that are not a protocol.
SHARED = {
    *('base', 'block', 'base_iscsi', 'base_local', 'base_rbd'),
}

# In host/: the lower one must not reach the upper one, however many steps it takes.
LOWER_UPPER = [
    ('block', 'scsi'),
    ('scsi', 'iscsi'),
    ('scsi', 'fc'),
    ('block', 'dm'),
    ('dm', 'multipath'),
    ('block', 'nvme'),
]

# Imports against the table that have a reason.
EXCEPTIONS = {
    # The class of the default `driver` is a public promise.
    ('os_brick.initiator.connectors.base', 'os_brick.initiator.host_driver'),
    # They read [os_brick], which has to be registered by then; the package itself imports nothing.
    ('os_brick.core.locks', 'os_brick.opts'),
    ('os_brick.privileged', 'os_brick.opts'),
    # A function of the package that imports what it is about when it is called.
    ('os_brick', 'os_brick.host.inventory'),
}

# Module of the library: the files that may import it.
OWNERS = {
    'subprocess': {'os_brick/core/process.py'},
    'time': {'os_brick/core/clock.py'},
    # The file of guard_connection has a name that other releases wait for, and
    # `synchronized` of connectors/base is oslo's lock under its public name.
    'oslo_concurrency.lockutils': {
        'os_brick/core/locks.py',
        'os_brick/core/synchronized.py',
        'os_brick/initiator/utils.py',
        'os_brick/initiator/connectors/base.py',
    },
    'tenacity': {'os_brick/utils.py'},
    # Local sockets, and the name of this host; core/net.py alone resolves and connects.
    'socket': {
        'os_brick/core/net.py',
        'os_brick/core/kernel.py',
        'os_brick/core/children.py',
        'os_brick/privileged/multipathd.py',
        'os_brick/privileged/daemon_start.py',
        'os_brick/initiator/connector.py',
    },
    # core/http.py alone speaks HTTP, through a channel that has one deadline for all of it.
    'http': {'os_brick/core/http.py', 'os_brick/core/http_body.py'},
    'ssl': {'os_brick/core/http.py', 'os_brick/core/channel.py'},
    'requests': set(),
    'urllib3': set(),
    'urllib.request': set(),
    'oslo_privsep.priv_context': {'os_brick/privileged/__init__.py'},
    'glob': {'os_brick/core/files.py'},
    # Constants and an argument of these, under names that callers know, are paths of pathlib.
    'pathlib': {
        'os_brick/initiator/storpool_utils.py',
        'os_brick/initiator/connectors/storpool.py',
    },
    'eventlet': set(),
    'oslo_service': set(),
    # What is configured is read once an operation (opts.current) and handed down. The directory of
    # the locks belongs to the process, and the size of the daemon's pool to the daemon. Which
    # programs may run as root, and into which directory root may write the files of LightOS, is the
    # daemon's own to know: a caller must not tell it.
    'oslo_config.cfg': {
        *('os_brick/__init__.py', 'os_brick/opts.py', 'os_brick/core/locks.py'),
        *('os_brick/privileged/__init__.py', 'os_brick/privileged/programs.py'),
        'os_brick/privileged/lightos.py',
        # A command is a process of its own, which reads the files of the services.
        'os_brick/cmd/services.py',
    },
}

# Calls that look at files; only these modules and root functions make them.
LOOKING = {
    f'os_brick.core.{name}'
    for name in ('files', 'resolved', 'parts', 'atomic', 'scratch', 'shared_files')
}
LOOKS = {
    'open',
    *(f'os.{name}' for name in ('open', 'listdir', 'scandir', 'walk', 'stat', 'lstat', 'readlink')),
    *(
        f'os.path.{name}'
        for name in ('exists', 'lexists', 'isfile', 'isdir', 'islink', 'realpath', 'getsize')
    ),
}

FILES = sorted((ROOT / 'os_brick').rglob('*.py'))


def _module(path: pathlib.Path) -> str:
    parts = path.relative_to(ROOT).with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


MODULES = {_module(path): path for path in FILES}
TREES = {name: ast.parse(path.read_text()) for name, path in MODULES.items()}


def _imports(module: str) -> Iterator[str]:
    """Yield each module that is imported: of ours the file, of others as written."""
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{module}: relative import'
            for alias in node.names:
                whole = f'{node.module}.{alias.name}'
                is_part = whole in MODULES or not str(node.module).startswith('os_brick')
                yield whole if is_part else str(node.module)


def _ours(module: str) -> set[str]:
    return {name for name in _imports(module) if name.split('.')[0] == 'os_brick'}


def _area(module: str) -> str:
    name = module
    while name not in AREAS or (name in EXACT and name != module):
        name = name.rpartition('.')[0]
        assert name, f'{module} belongs to no area: add it to AREAS'
    return AREAS[name]


@pytest.mark.parametrize('module', MODULES)
def test_a_module_imports_only_what_is_below_it(module: str) -> None:
    wrong = {
        name
        for name in _ours(module)
        if _area(name) not in MAY_IMPORT[_area(module)] and (module, name) not in EXCEPTIONS
    }
    # `from os_brick import privileged` in `privileged` is the package itself.
    assert not wrong - {'os_brick'}, f'{module} ({_area(module)})'


@pytest.mark.parametrize('exception', sorted(EXCEPTIONS))
def test_an_exception_is_still_needed(exception: tuple[str, str]) -> None:
    module, name = exception
    assert name in _ours(module)


@pytest.mark.parametrize('module', ['os_brick.exception', 'os_brick.constants', 'os_brick.i18n'])
def test_public_values_import_nothing_of_ours(module: str) -> None:
    """Nothing but their own package."""
    parts = [name for name in MODULES if name == module or name.startswith(f'{module}.')]
    assert {name for part in parts for name in _ours(part)} <= set(parts)


@pytest.mark.parametrize('module', [name for name in MODULES if _area(name) == 'core'])
def test_core_knows_only_the_errors(module: str) -> None:
    others = {
        name for name in _ours(module) if _area(name) != 'core' and (module, name) not in EXCEPTIONS
    }
    # What is configured is handed through, and of it only the time limit is read.
    assert others <= {'os_brick.exception', 'os_brick.model.settings'}


@pytest.mark.parametrize(
    'module', [name for name in MODULES if name.startswith('os_brick.initiator.connectors.')]
)
def test_a_protocol_does_not_know_another(module: str) -> None:
    own = module.rpartition('.')[2]
    for name in _ours(module):
        package, _dot, other = name.rpartition('.')
        if package == 'os_brick.initiator.connectors' and other not in SHARED:
            assert other.split('_')[0] == own.split('_')[0] or own == 'fake', (module, name)


def _reached(module: str) -> set[str]:
    """Return the modules of host/ that one of them imports, at any distance."""
    found: set[str] = set()
    todo = [module]
    while todo:
        for name in _ours(todo.pop()):
            if name.startswith('os_brick.host.') and name not in found:
                found.add(name)
                todo.append(name)
    return found


@pytest.mark.parametrize('module', [name for name in MODULES if name.startswith('os_brick.host.')])
def test_nouns_of_the_host_have_an_order(module: str) -> None:
    assert module not in _reached(module)
    for lower, upper in LOWER_UPPER:
        if module == f'os_brick.host.{lower}':
            assert f'os_brick.host.{upper}' not in _reached(module)


@pytest.mark.parametrize(
    'module', [name for name in MODULES if name.startswith('os_brick.doctor.rules')]
)
def test_rules_know_facts_and_nothing_of_the_host(module: str) -> None:
    known = ('os_brick.model.', 'os_brick.doctor.facts', 'os_brick.doctor.case')
    assert all(name.startswith((*known, 'os_brick.doctor.rules')) for name in _ours(module))


@pytest.mark.parametrize('module', MODULES)
def test_single_owners(module: str) -> None:
    file = str(MODULES[module].relative_to(ROOT))
    for name in _imports(module):
        for owned, owners in OWNERS.items():
            if name == owned or name.startswith(f'{owned}.'):
                assert file in owners, f'{file} imports {owned}'


@pytest.mark.parametrize('module', MODULES)
def test_only_files_and_root_functions_look_at_files(module: str) -> None:
    if module in LOOKING or module.startswith('os_brick.privileged.'):
        return
    calls = [node for node in ast.walk(TREES[module]) if isinstance(node, ast.Call)]
    assert not {ast.unparse(call.func) for call in calls} & LOOKS


@pytest.mark.parametrize('module', MODULES)
def test_only_net_resolves_and_connects(module: str) -> None:
    calls = {ast.unparse(node.func) for node in ast.walk(TREES[module]) if _is_call(node)}
    found = calls & {'socket.getaddrinfo', 'socket.create_connection', 'socket.gethostbyname'}
    assert bool(found) is (module == 'os_brick.core.net')


def _is_call(node: ast.AST) -> TypeGuard[ast.Call]:
    return isinstance(node, ast.Call)


@pytest.mark.parametrize('module', MODULES)
def test_each_file_says_its_licence_first(module: str) -> None:
    assert MODULES[module].read_text().startswith('# SPDX-License-Identifier: Apache-2.0\n')


def test_every_directory_is_a_package() -> None:
    """Else pbr would leave it out of the wheel, or mypy take it for another one."""
    for path in FILES:
        assert (path.parent / '__init__.py').exists(), path


def test_the_rules_see_what_they_forbid() -> None:
    """An empty answer of these functions would make every rule hold."""
    assert 'subprocess' in set(_imports('os_brick.core.process'))
    assert 'oslo_concurrency.lockutils' in set(_imports('os_brick.core.locks'))
    assert 'os_brick.exception' in _ours('os_brick.core.wait')
    assert _area('os_brick.initiator.connectors.iscsi') == 'connectors'
    assert _area('os_brick.initiator') == 'model'
    with pytest.raises(AssertionError):
        _area('os_brick.somewhere')
