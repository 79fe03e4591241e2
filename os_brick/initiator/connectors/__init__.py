# SPDX-License-Identifier: Apache-2.0
"""One module a protocol, imported when it is asked for."""

import importlib
from typing import TYPE_CHECKING, Any

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Answer a module that has not been imported yet."""
        module = f'{__name__}.{name}'
        try:
            return importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name != module:
                raise
            raise AttributeError(f'module {__name__!r} has no attribute {name!r}') from None
