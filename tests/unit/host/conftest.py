# SPDX-License-Identifier: Apache-2.0
"""The fake host as a fixture."""

from tests.unit.fakehost.fixtures import host  # noqa: F401
