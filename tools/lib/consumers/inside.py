# SPDX-License-Identifier: Apache-2.0
"""Runs in a consumer's environment: ``inside.py RESULTS TEST...``, a module or a test each.

Each result is a line of RESULTS as soon as it is known, so that a process that dies loses none.
"""

import json
import sys
import time
import traceback
import unittest

PASSED, FAILED, SKIPPED = 'passed', 'failed', 'skipped'
_LONGEST = 600


class Result(unittest.TestResult):
    """Writes down what becomes of each test."""

    def __init__(self, file):
        super().__init__()
        self._file = file
        self._begun = 0.0

    def startTest(self, test):  # noqa: N802 unittest's name
        super().startTest(test)
        self._begun = time.monotonic()

    def _write(self, test, outcome, why=''):
        seconds = round(time.monotonic() - self._begun, 3)
        self._file.write(json.dumps([test.id(), outcome, why[-_LONGEST:], seconds]) + '\n')
        self._file.flush()

    def addSuccess(self, test, details=None):  # noqa: N802
        self._write(test, PASSED)

    addExpectedFailure = addSuccess  # noqa: N815

    def addSkip(self, test, reason=None, details=None):  # noqa: N802
        self._write(test, SKIPPED, str(reason))

    def addError(self, test, err=None, details=None):  # noqa: N802
        self._write(test, FAILED, _why(err, details))

    addFailure = addUnexpectedSuccess = addError  # noqa: N815


def _why(err, details):
    if err is not None:
        return ''.join(traceback.format_exception(*err)[-3:])
    texts = (details or {}).items()
    return '\n'.join(each.as_text()[-_LONGEST:] for name, each in texts if 'traceback' in name)


def main(place, *names):
    loader = unittest.TestLoader()
    with open(place, 'a') as file:
        result = Result(file)
        for name in names:
            loader.loadTestsFromName(name).run(result)


if __name__ == '__main__':
    main(*sys.argv[1:])
