# SPDX-License-Identifier: Apache-2.0
"""A small virtual machine with a real Linux storage stack, for functional tests."""
