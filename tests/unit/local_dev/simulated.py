# SPDX-License-Identifier: Apache-2.0
"""LVM's tools over volume groups in memory, to be handed in as ``executor``.

Exit codes and texts are those of ``recorded/lvm2.json``, which real tools wrote: 2.03.16 says what
is wrong on standard error, 2.03.31 in the report where there is one. A command line that these
tests do not know raises.
"""

from __future__ import annotations

from collections.abc import Callable
import dataclasses
import fnmatch
import itertools
import json
import re
from typing import Any

from oslo_concurrency import processutils

MEBI = 1 << 20
EXTENT = 4 * MEBI
UNITS = {'b': 1, 's': 512, 'k': 1 << 10, 'm': MEBI, 'g': 1 << 30, 't': 1 << 40}
USAGE, FAILED = 3, 5
# What lvremove may remove: perhaps one volume only, and nothing that others depend on.
SELECTED = (
    r'(?:lv_uuid="([\w-]+)" && \()?'
    r'lv_attr=~"\^\[\^oOtd\]" \|\| \(lv_attr=~"\^\[td\]" && thin_count=0\)\)?'
)
_numbers = itertools.count()


@dataclasses.dataclass
class Volume:
    size: int
    kind: str = '-'
    origin: str = ''
    pool: str = ''
    active: bool = True
    skip: bool = False
    hidden: bool = False  # A part of another volume.
    percent: str = ''
    uuid: str = dataclasses.field(default_factory=lambda: f'uuid-{next(_numbers)}')


@dataclasses.dataclass
class Group:
    devices: dict[str, int]
    volumes: dict[str, Volume] = dataclasses.field(default_factory=dict)
    exported: bool = False
    missing: bool = False
    uuid: str = 'vuPV5Z-Vnms-Zre3-LqjY-fVPK-cfgl-hsX9pP'

    @property
    def size(self) -> int:
        return sum(self.devices.values())

    @property
    def free(self) -> int:
        return self.size - sum(each.size for each in self.volumes.values() if not each.pool)


class Failed(Exception):
    """A tool that ends with an exit code and a text."""

    def __init__(self, text: str, code: int = FAILED) -> None:
        super().__init__(text)
        self.code = code


class Lvm2:
    """``executor=Lvm2()``; ``started`` has the command lines without their prefix."""

    def __init__(self, release: str = '2.03.31') -> None:
        self.release = release
        self.groups: dict[str, Group] = {}
        self.unused: dict[str, int] = {}
        self.started: list[str] = []
        self.prefixes: list[tuple[str, ...]] = []
        self.keywords: list[dict[str, Any]] = []
        # Called before a command whose line matches, once each: changes the host, or raises.
        self.hooks: list[tuple[str, Callable[[], object]]] = []
        self.held: set[str] = set()
        # As with `log { silent = 1 }` in lvm.conf: only reports are written.
        self.silent = False
        self.refused: set[str] = set()

    def group(self, name: str, megabytes: int = 1024, disks: int = 2) -> Group:
        devices = {f'/dev/{name}{n}': megabytes * MEBI // disks for n in range(disks)}
        self.groups[name] = Group(devices)
        return self.groups[name]

    def before(self, pattern: str, act: Callable[[], object]) -> None:
        self.hooks.append((pattern, act))

    def __call__(self, *cmd: str, **keywords: Any) -> tuple[str, str]:
        start = next(
            at for at, word in enumerate(cmd) if not (word == 'env' or re.match(r'[A-Z_]+=', word))
        )
        self.prefixes.append(cmd[:start])
        self.keywords.append(keywords)
        words = list(cmd[start:])
        self.started.append(' '.join(words))
        for hook in list(self.hooks):
            if fnmatch.fnmatch(self.started[-1], hook[0]):
                self.hooks.remove(hook)
                hook[1]()
        try:
            out = getattr(self, f'_{words[0]}')(*words[1:])
        except Failed as failed:
            raise self._error(words, failed) from None
        is_asked = 'json' in words or '--version' in words
        return '' if self.silent and not is_asked else out, ''

    def _error(self, words: list[str], failed: Failed) -> processutils.ProcessExecutionError:
        out, err = '', f'  {failed}\n'
        if 'json' in words:
            kind = {'lvs': 'lv', 'vgs': 'vg', 'pvs': 'pv'}[words[0]]
            out = self._json(kind, [], str(failed))
            err = '' if self.release == '2.03.31' else err
        return processutils.ProcessExecutionError(
            stdout=out, stderr=err, exit_code=failed.code, cmd=' '.join(words)
        )

    def crash(self) -> None:
        """What sudo makes of a tool that had a segmentation fault."""
        raise processutils.ProcessExecutionError(stdout='', stderr='', exit_code=139, cmd='lvm')

    # Reports.

    def _json(self, kind: str, rows: list[dict[str, str]], error: str = '') -> str:
        report: dict[str, Any] = {'report': [{kind: rows}]}
        if self.release == '2.03.31':
            entry = {'log_type': 'error', 'log_message': error}
            report['log'] = [entry] if error else []
        return json.dumps(report, indent=4)

    def _vgs(self, *words: str) -> str:
        if words == ('--version',):
            return (
                f'  LVM version:     {self.release}(2) (2025-02-27)\n  Library version: 1.02.205\n'
            )
        chosen = self._chosen(words)
        return self._json(
            'vg',
            [
                {
                    'vg_name': name,
                    'vg_size': str(group.size),
                    'vg_free': str(group.free),
                    'lv_count': str(len(group.volumes)),
                    'vg_uuid': group.uuid,
                }
                for name, group in chosen.items()
            ],
        )

    def _pvs(self, *_words: str) -> str:
        rows = []
        for vg, group in self.groups.items():
            used = group.size - group.free
            for name, size in group.devices.items():
                taken = min(size, used)
                used -= taken
                name = '[unknown]' if group.missing else name
                rows.append((vg, name, size, size - taken))
        rows += [('', name, size, size) for name, size in self.unused.items()]
        fields = ('vg_name', 'pv_name', 'pv_size', 'pv_free')
        return self._json('pv', [dict(zip(fields, map(str, row), strict=True)) for row in rows])

    def _lvs(self, *words: str) -> str:
        rows = []
        for vg, group in self._chosen(words).items():
            if group.exported:
                if self._where(words):
                    raise Failed(f'Volume group {vg} is exported')
                continue
            only = self._where(words).partition('/')[2]
            if only and only not in group.volumes:
                raise Failed(f'Failed to find logical volume "{vg}/{only}"')
            for name, volume in group.volumes.items():
                if only in ('', name):
                    rows.append(self._row(vg, name, volume, known='--readonly' not in words))
        fields = words[words.index('-o') + 1].split(',')
        return self._json('lv', [{field: row[field] for field in fields} for row in rows])

    def _row(self, vg: str, name: str, volume: Volume, *, known: bool) -> dict[str, str]:
        origin = any(
            each.origin == name and not each.pool for each in self.groups[vg].volumes.values()
        )
        state = ('a-' if volume.active else '--') if known else 'XX'
        kind = 'o' if origin else volume.kind
        return {
            'vg_name': vg,
            'lv_name': f'[{name}]' if volume.hidden else name,
            'lv_uuid': volume.uuid,
            'lv_size': str(volume.size),
            'lv_attr': f'{kind}wi-{state}---{"k" if volume.skip else "-"}',
            'data_percent': volume.percent if known else '',
        }

    @staticmethod
    def _where(words: tuple[str, ...]) -> str:
        fixed = ('json', 'b')
        plain = [
            word
            for before, word in zip(('', *words), words, strict=False)
            if not word.startswith('-') and word not in fixed and before not in ('-o', '--config')
        ]
        return plain[0] if plain else ''

    def _chosen(self, words: tuple[str, ...]) -> dict[str, Group]:
        vg = self._where(words).partition('/')[0]
        return {vg: self._known(vg)} if vg else dict(self.groups)

    # Changes.

    def _known(self, vg: str) -> Group:
        if vg not in self.groups:
            raise Failed(f'Volume group "{vg}" not found\n  Cannot process volume group {vg}')
        return self.groups[vg]

    def _changeable(self, vg: str, *, missing_is_fine: bool = False) -> Group:
        group = self._known(vg)
        if group.exported:
            raise Failed(f'Volume group {vg} is exported')
        if group.missing and not missing_is_fine:
            raise Failed(f'Cannot change VG {vg} while PVs are missing.')
        return group

    def _found(self, where: str, **more: bool) -> tuple[Group, str, Volume]:
        vg, _slash, lv = where.partition('/')
        group = self._changeable(vg, **more)
        assert lv, f'{where} names a whole group'
        if lv not in group.volumes:
            raise Failed(f'Failed to find logical volume "{where}"')
        return group, lv, group.volumes[lv]

    def _vgcreate(self, vg: str, *devices: str) -> str:
        if vg in self.groups:
            raise Failed(f'A volume group called {vg} already exists.')
        for device in devices:
            if device not in self.unused:
                raise Failed(f'No device found for {device}.')
        self.groups[vg] = Group({device: self.unused.pop(device) for device in devices})
        return f'  Volume group "{vg}" successfully created\n'

    def _lvcreate(self, *words: str) -> str:
        options = _options(words, flags={'-T', '--snapshot', '--nosync', '--yes'})
        name = options.get('-n') or options.get('--name')
        where = options['']
        vg, _slash, last = where.partition('/')
        if '-l' in options:
            name = last
        assert name
        group = self._changeable(vg)
        if name in group.volumes:
            raise Failed(f'Logical Volume "{name}" already exists in volume group "{vg}"')
        if '--mirrorlog' in options:
            raise Failed('--mirrorlog is supported only with mirrors.', USAGE)
        group.volumes[name] = self._made(group, options, last)
        return f'  Logical volume "{name}" created.\n'

    def _made(self, group: Group, options: dict[str, str], last: str) -> Volume:
        if '--snapshot' in options:
            source = group.volumes.get(last)
            if source is None:
                raise Failed(f'Failed to find logical volume "gold/{last}"')
            if '-L' not in options:
                return Volume(source.size, 'V', last, source.pool, active=False, skip=True)
            return Volume(self._room(group, options['-L']), 's', last, skip=True)
        if '-l' in options:
            return Volume(group.free, 't', percent='0.00')
        if '-V' in options:
            return Volume(_bytes(options['-V']), 'V', pool=last)
        kind = 'm' if '-m' in options else '-'
        return Volume(self._room(group, options['-L'], 1 + int(options.get('-m', 0))), kind)

    def _room(self, group: Group, text: str, copies: int = 1) -> int:
        size = _bytes(text)
        if size * copies > group.free:
            raise Failed('Volume group "gold" has insufficient free space (3 extents): 9 required.')
        return size

    def _lvremove(self, *words: str) -> str:
        options = _options(words, flags={'-f'})
        group, lv, volume = self._found(options[''], missing_is_fine=True)
        selected = re.fullmatch(SELECTED, options['-S'])
        assert selected, options['-S']
        if selected[1] not in (None, volume.uuid):
            return ''
        if any(
            lv in (each.origin, each.pool) and (not each.pool or each.pool == lv)
            for each in group.volumes.values()
        ):
            return ''
        if lv in self.held:
            raise Failed(f'Logical volume {options[""]} in use.')
        del group.volumes[lv]
        return f'  Logical volume "{lv}" successfully removed.\n'

    def _lvchange(self, *words: str) -> str:
        options = _options(words, flags={'--yes', '-K'})
        _group, lv, volume = self._found(options[''])
        if '-k' in options and '-K' in options:
            raise Failed('Command does not accept option: --ignoreactivationskip.', USAGE)
        if '-k' in options:
            volume.skip = options['-k'] == 'y'
        if options.get('-a') == 'n' and lv in self.held:
            raise Failed(f'Logical volume {options[""]} in use.')
        if '-a' in options and lv not in self.refused:
            volume.active = options['-a'] == 'y'
        return ''

    def _lvextend(self, *words: str) -> str:
        options = _options(words, flags=set())
        group, lv, volume = self._found(options[''])
        size = _bytes(options['-L'].lstrip('+'))
        size = volume.size + size if options['-L'].startswith('+') else size
        if self._row('gold', lv, volume, known=True)['lv_attr'].startswith('o') and volume.active:
            raise Failed(
                'Snapshot origin volumes can be resized only while inactive: try lvchange -an.'
            )
        if size == volume.size:
            raise Failed('New size (5 extents) matches existing size (5 extents).')
        if size < volume.size:
            raise Failed('New size given (3 extents) not larger than existing size (5 extents)')
        if size - volume.size > group.free:
            raise Failed('Insufficient free space: 1014 extents needed, but only 89 available')
        volume.size = size
        return f'  Logical volume {options[""]} successfully resized.\n'

    def _lvrename(self, vg: str, old: str, new: str) -> str:
        group = self._changeable(vg)
        if old not in group.volumes:
            raise Failed(f'Existing logical volume "{old}" not found in volume group "{vg}"')
        if new in group.volumes:
            raise Failed(f'Logical Volume "{new}" already exists in volume group "{vg}"')
        group.volumes[new] = group.volumes.pop(old)
        return f'  Renamed "{old}" to "{new}" in volume group "{vg}"\n'

    def _lvconvert(self, *words: str) -> str:
        options = _options(words, flags={'--merge'})
        group, lv, volume = self._found(options[''])
        assert volume.origin
        del group.volumes[lv]
        return f'  Logical volume "{lv}" successfully removed.\n'

    def _udevadm(self, *_words: str) -> str:
        return ''


def _options(words: tuple[str, ...], flags: set[str]) -> dict[str, str]:
    """Each option with its value; what is no option under ``''``."""
    found: dict[str, str] = {}
    rest = iter(words)
    for word in rest:
        if word in flags:
            found[word] = ''
        elif word.startswith('-'):
            found[word] = next(rest)
        else:
            found[''] = word
    return found


def _bytes(text: str) -> int:
    unit = text[-1].lower()
    count = float(text[:-1]) * UNITS[unit] if unit in UNITS else float(text) * MEBI
    return -(-int(count) // EXTENT) * EXTENT
