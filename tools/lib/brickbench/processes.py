# SPDX-License-Identifier: Apache-2.0
"""The act about processes: start of the privsep daemon, memory, time of the import."""

import json
import os
import pathlib
import subprocess
import tempfile

from brickbench import comparison, rows
from tests.functional import lab

_PROBE = pathlib.Path(__file__).with_name('probe.py')
_SECONDS = 120.0
# A start of Python with the libraries costs half a minute in an emulated machine.
_FEW = 3


def processes(where: comparison.Comparison) -> None:
    """Start so many fresh processes of each side, and ask each what it needed."""
    for side in where.sides:
        _ask(side)  # writes the compiled files
    for side in where.turns(min(where.rounds, _FEW)):
        found = _ask(side)
        where.add('cold', side.name, rows.Sample(found['cold']))
        where.add('daemon', side.name, rows.Sample(found['daemon']))
        where.add('memory', side.name, rows.Sample(found['memory'] / 1024))
        where.add('import', side.name, rows.Sample(found['import']))


def _ask(side: comparison.Side) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix='bench-') as directory:
        config = lab.bricks.write_config(pathlib.Path(directory), side.python, debug=False)
        environment = {k: v for k, v in os.environ.items() if not k.startswith('PYTHON')}
        if side.name == rows.OURS:
            environment['PYTHONPATH'] = str(lab.bricks.CHECKOUT)
        done = subprocess.run(
            [side.python, '-P', str(_PROBE), config],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            timeout=_SECONDS,
            check=True,
        )
    return dict(json.loads(done.stdout.splitlines()[-1]))
