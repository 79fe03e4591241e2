# SPDX-License-Identifier: Apache-2.0
"""``os-brick completion``: a script with which a shell completes commands and options.

bash: os-brick completion bash > /etc/bash_completion.d/os-brick
zsh:  os-brick completion zsh > /usr/share/zsh/site-functions/_os-brick
fish: os-brick completion fish > ~/.config/fish/completions/os-brick.fish
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
import dataclasses

from os_brick.cmd import arguments, table
from os_brick.cmd.output import Console, Output, Table

# What completes WHAT: the devices and the IDs of the volumes that there are.
_THINGS = 'os-brick list -q -f value -c device -c volume 2>/dev/null'


@dataclasses.dataclass(frozen=True, slots=True)
class _Words:
    """What can follow one command.

    :ivar options: each option with its help.
    :ivar values: an option's values, where there is a choice of them.
    :ivar choices: of its positional argument.
    :ivar takes_what: whether it takes WHAT.
    """

    options: dict[str, str]
    values: dict[str, tuple[str, ...]]
    choices: tuple[str, ...]
    takes_what: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which shell."""
    parser.add_argument('shell', choices=sorted(_SHELLS))


def run(options: argparse.Namespace, console: Console) -> Output:
    """The script, made of the parsers of the commands."""
    words = {command.name: _words(command) for command in table.COMMANDS}
    text = '\n'.join(_SHELLS[options.shell](words))
    return Output(
        document={'schema': 'os-brick/completion/1', 'shell': options.shell, 'script': text},
        table=Table(('script',), ((text,),)),
        text=lambda console: text,
    )


def _words(command: table.Command) -> _Words:
    parser = arguments.parser_of(command)
    options: dict[str, str] = {}
    values: dict[str, tuple[str, ...]] = {}
    choices: tuple[str, ...] = ()
    takes_what = False
    for action in parser._actions:
        allowed = tuple(map(str, action.choices or ()))
        for name in action.option_strings:
            options[name] = (action.help or '').replace('%%', '%')
            values |= {name: allowed} if allowed else {}
        if not action.option_strings:
            choices = choices or allowed
            takes_what = takes_what or action.dest == 'what'
    return _Words(options, values, choices, takes_what)


def _bash(words: dict[str, _Words]) -> Iterator[str]:
    yield '# bash completion of os-brick; made by: os-brick completion bash'
    yield '_os_brick() {'
    yield '  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} word command='
    yield '  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do'
    yield f'    case $word in {"|".join(words)}) command=$word; break;; esac'
    yield '  done'
    yield '  case $command:$prev in'
    for name, each in words.items():
        for option, values in each.values.items():
            yield f'    {name}:{option}) COMPREPLY=($(compgen -W "{" ".join(values)}" -- "$cur"));'
            yield '      return;;'
    yield '  esac'
    yield '  case $command in'
    yield f'    "") COMPREPLY=($(compgen -W "{" ".join(words)} --help --version" -- "$cur"));;'
    for name, each in words.items():
        things = f' $({_THINGS})' if each.takes_what else ''
        known = ' '.join((*each.choices, *each.options))
        yield f'    {name}) COMPREPLY=($(compgen -W "{known}{things}" -- "$cur"));;'
    yield '  esac'
    yield '}'
    yield 'complete -F _os_brick os-brick'


def _zsh(words: dict[str, _Words]) -> Iterator[str]:
    yield '#compdef os-brick'
    yield '# zsh completion of os-brick; made by: os-brick completion zsh'
    yield '_os_brick() {'
    yield '  local command=${words[(r)(' + '|'.join(words) + ')]}'
    yield '  case $command in'
    yield '    "") local -a commands=('
    yield from (f"        '{each.name}:{_quoted(each.summary)}'" for each in table.COMMANDS)
    yield '      ); _describe command commands;;'
    for name, each in words.items():
        specs = ' '.join(f"'{option}[{_quoted(text)}]'" for option, text in each.options.items())
        things = f' "*:what:($({_THINGS}))"' if each.takes_what else ''
        choices = f" '*:value:({' '.join(each.choices)})'" if each.choices else ''
        yield f'    {name}) _arguments {specs}{things}{choices};;'
    yield '  esac'
    yield '}'
    yield '_os_brick "$@"'


def _fish(words: dict[str, _Words]) -> Iterator[str]:
    yield '# fish completion of os-brick; made by: os-brick completion fish'
    yield 'complete -c os-brick -f'
    for command in table.COMMANDS:
        yield (
            f'complete -c os-brick -n __fish_use_subcommand -a {command.name}'
            f" -d '{_quoted(command.summary)}'"
        )
    for name, each in words.items():
        start = f"complete -c os-brick -n '__fish_seen_subcommand_from {name}'"
        for option, text in each.options.items():
            kind = f'-l {option[2:]}' if option.startswith('--') else f'-s {option[1:]}'
            values = f" -x -a '{' '.join(each.values[option])}'" if option in each.values else ''
            yield f"{start} {kind}{values} -d '{_quoted(text)}'"
        if each.choices:
            yield f"{start} -a '{' '.join(each.choices)}'"
        if each.takes_what:
            yield f"{start} -a '({_THINGS.replace('2>/dev/null', '2> /dev/null')})'"


def _quoted(text: str) -> str:
    """A text within single quotes of a shell, and within the brackets of zsh."""
    plain = text.replace("'", '’').replace(':', r'\:')
    return plain.replace('[', '(').replace(']', ')')


_SHELLS = {'bash': _bash, 'fish': _fish, 'zsh': _zsh}
