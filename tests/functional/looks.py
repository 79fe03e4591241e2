# SPDX-License-Identifier: Apache-2.0
"""Commands that look, one after the other until the standard input ends; run as a program.

It prints one JSON object: how often each command ran, its exit codes, what it could not read, what
the doctor found, and what came to the standard error.
"""

import collections
import contextlib
import io
import json
import select
import sys

from os_brick.cmd import main

COMMANDS = (('tree', '--all'), ('tree', '--ask'), ('list',), ('doctor', '--timeout', '60'))


def look(conf: str) -> dict[str, object]:
    codes: dict[str, collections.Counter[int]] = collections.defaultdict(collections.Counter)
    unread, findings, errors = set(), set(), set()
    sys.stdout.write('begun\n')
    sys.stdout.flush()
    while not select.select([sys.stdin], [], [], 0)[0]:
        for words in COMMANDS:
            out, err = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = main.main([*words, '-f', 'json', '--config-file', conf])
            codes[' '.join(words)][code] += 1
            errors |= {err.getvalue()} - {''}
            found = json.loads(out.getvalue() or '{}')
            unread |= {f'{each["what"]}: {each["why"]}' for each in found.get('unread', ())}
            findings |= {
                f'{each["level"]} {each["id"]} {each["object"]}'
                for each in found.get('findings', ())
                if each['id'] != 'unfinished' and each['level'] != 'I'
            }
    counts = {name: dict(each) for name, each in codes.items()}
    rest = {'unread': sorted(unread), 'findings': sorted(findings), 'errors': sorted(errors)}
    return {'codes': counts, **rest}


if __name__ == '__main__':
    sys.stdout.write(json.dumps(look(sys.argv[1])))
