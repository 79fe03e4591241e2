# SPDX-License-Identifier: Apache-2.0
"""The command line ``os-brick``: one module a command, imported when it is called.

A command is a row in :mod:`os_brick.cmd.table` and a module with two functions::

    def add_arguments(parser: argparse.ArgumentParser) -> None: ...
    def run(options: argparse.Namespace, console: Console) -> Output: ...

``run`` returns what there is to be printed in every format; it prints nothing itself. Importing
this package, and a command that only looks, imports no library of OpenStack: that alone would take
longer than the look.
"""
