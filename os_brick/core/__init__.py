# SPDX-License-Identifier: Apache-2.0
"""Primitives that know nothing of storage: clock, wait, undo, locks, processes, files, fan-out, trace."""
