# SPDX-License-Identifier: Apache-2.0
"""Primitives that know nothing of storage: time, waits, undo, locks, processes, files."""
