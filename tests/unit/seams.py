# SPDX-License-Identifier: Apache-2.0
"""A clock and a table of programs in the place of the real ones."""

from collections.abc import Callable, Iterable
from typing import Any

from os_brick.core import process


class Clock:
    """Time that passes only while someone sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.naps: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds


class Programs:
    """Answers for command lines, each a list that is used up; unknown ones raise."""

    def __init__(self, table: dict[str, Iterable[Any]]) -> None:
        self._answers = {line: list(answers) for line, answers in table.items()}
        self.started: list[str] = []
        self.keywords: list[dict[str, Any]] = []

    def run(self, argv: tuple[str, ...], **keywords: Any) -> process.Result:
        line = ' '.join(argv)
        self.started.append(line)
        self.keywords.append(keywords)
        answer = self._answers[line].pop(0)
        if isinstance(answer, BaseException):
            raise answer
        code, out, err = answer
        return process.Result(argv, code, out, err)

    def isolated(self, call: Callable[[], Any], timeout: float) -> Any:
        return call()
