# SPDX-License-Identifier: Apache-2.0
"""The last part of the demo: what the command line shows of a volume, healthy, stale and gone."""

import os
import pathlib
import subprocess
import sys

from demo import output
from tests.functional import lab, support

_ROOT = pathlib.Path(__file__).resolve().parents[3]
_ID = '8f0c2a4e-6d0b-4c31-9a55-3f0f5b0e7d11'
_LUN = 1
_SIZE = 64
# Exit codes of commands that look.
_GOOD, _FAILED = 0, 2


def tell(testbed: lab.Testbed) -> None:
    """Show a volume before, while and after it is attached, and with another one at its LUN.

    :raises Wrong: if a picture is not what it should be.
    """
    output.line('\n== what is on the host ==')
    volume, other = testbed.volume('picture', _SIZE), testbed.volume('another', _SIZE)
    target = testbed.target('picture', 2)
    target.map(_LUN, volume)
    _shown('tree', wanted='0 volumes')
    connector = lab.bricks.ours(multipath=True)
    props = target.properties(_LUN, plural=True, volume_id=_ID)
    info = connector.connect_volume(props)
    support.wait_disks(info['path'], 2)
    _shown('tree', wanted=f'{_ID}  64 MiB  {os.path.realpath(info["path"])}  iscsi, multipath 2/2')
    output.line('\n  The array puts another volume behind the LUN, and the host is not told.\n')
    target.remap(_LUN, other)
    _shown('tree', '--ask', wanted=f'{other.wwid}, which is another volume', code=_FAILED)
    _shown('doctor', 'identity-stale', wanted='identity-stale', code=_FAILED)
    target.remap(_LUN, volume)
    connector.disconnect_volume(props, info)
    _shown('tree', wanted='0 volumes')


def _shown(*words: str, wanted: str, code: int = _GOOD) -> None:
    done = subprocess.run(
        [sys.executable, '-m', 'os_brick', *words],
        cwd=_ROOT,
        env={**os.environ, 'PYTHONIOENCODING': 'utf-8', 'PYTHONDONTWRITEBYTECODE': '1'},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding='utf-8',
        check=False,
    )
    output.line(f'# os-brick {" ".join(words)}')
    output.line(done.stdout.rstrip('\n'))
    output.require(wanted in done.stdout, f'it has to show {wanted}')
    output.require(done.returncode == code, f'exit code {done.returncode}, not {code}')
