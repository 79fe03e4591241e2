# SPDX-License-Identifier: Apache-2.0
"""Paths to a volume, opened side by side: one engine, and a driver for each transport."""
