# SPDX-License-Identifier: Apache-2.0
"""The program of Huawei's distributed storage, which asks the storage's agent on this host."""

from __future__ import annotations

from collections.abc import Collection
import re

from oslo_concurrency import processutils
from oslo_log import log as logging

from os_brick import exception
from os_brick.core import bound, process, undo, wait

LOG = logging.getLogger(__name__)

# Its codes (ret_code).
DONE = 0
ATTACHED_BEFORE = 50151401
ATTACHED_BY_ANOTHER_NODE = 50151405
AGENT_NOT_NORMAL = 50151209
NOT_ATTACHED = 50155007
# What a detach may end in that leaves nothing attached.
DETACHED = (DONE, AGENT_NOT_NORMAL, NOT_ATTACHED)

_ANSWERS = ('ret_code', 'ret_desc', 'dev_addr')
_DEVICE = re.compile(r'/dev/[A-Za-z0-9_.:@/-]{1,254}')
_CODE = re.compile(r'[0-9]{1,18}')
# Of what the program prints, in an error.
_LONGEST_MESSAGE = 1000


def is_attached(program: str, volume: str, deadline: wait.Deadline) -> bool:
    """Whether a volume is attached to this host.

    :raises BrickException: if the program does not answer, or the agent is not able to tell.
    """
    answer = _ask(program, 'querydev', volume, deadline)
    if _code(answer) in (None, AGENT_NOT_NORMAL):
        raise _failure('querydev', volume, answer)
    return _code(answer) == DONE


def device_of(program: str, volume: str, deadline: wait.Deadline) -> str:
    """The path of an attached volume's device.

    :raises BrickException: if it is not attached, or the program gives no such path.
    """
    answer = _ask(program, 'querydev', volume, deadline)
    path = answer.get('dev_addr', '')
    if _code(answer) != DONE or not _DEVICE.fullmatch(path):
        raise _failure('querydev', volume, answer)
    return path


def order(
    program: str, what: str, volume: str, accepted: Collection[int], deadline: wait.Deadline
) -> int:
    """Have the program attach or detach a volume; return its code.

    :param what: ``attach`` or ``detach``.
    :param accepted: the codes that are not failures.
    :raises BrickException: if it does not answer with one of these.
    """
    answer = _ask(program, what, volume, deadline)
    code = _code(answer)
    if code is None or code not in accepted:
        raise _failure(what, volume, answer)
    return code


@undo.verb
def detach(program: str, volume: str, seconds: float) -> None:
    """Detach a volume that an attach may have attached; one that is not attached is not an error.

    :raises BrickException: if it cannot be detached.
    """
    limit = wait.Deadline.after(bound.within(seconds))
    if order(program, 'detach', volume, DETACHED, limit) == AGENT_NOT_NORMAL:
        LOG.warning(
            "The storage's agent on this host is not in order (code %d), and may have volume %s "
            'attached still: ask it with "%s -c querydev -v %s" once it runs',
            *(AGENT_NOT_NORMAL, volume, program, volume),
        )


def _ask(program: str, what: str, volume: str, deadline: wait.Deadline) -> dict[str, str]:
    """What the program answers: its words, or none."""
    words = (program, '-c', what, '-v', volume)
    try:
        done = process.run(*words, timeout=deadline.limit())
    except processutils.ProcessExecutionError as error:
        text = str(error)[:_LONGEST_MESSAGE]
        raise exception.BrickException(f'{" ".join(words)} failed: {text}') from error
    pairs = (line.partition('=') for line in done.stdout.splitlines())
    return {
        key.strip(): text.strip()[:_LONGEST_MESSAGE]
        for key, _, text in pairs
        if key.strip() in _ANSWERS
    }


def _code(answer: dict[str, str]) -> int | None:
    text = answer.get('ret_code', '')
    return int(text) if _CODE.fullmatch(text) else None


def _failure(what: str, volume: str, answer: dict[str, str]) -> exception.BrickException:
    found = ', '.join(f'{key}={text}' for key, text in answer.items()) or 'nothing'
    return exception.BrickException(f'{what} of volume {volume}: the storage answered {found}')
