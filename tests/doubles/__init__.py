# SPDX-License-Identifier: Apache-2.0
"""Servers that stand for those of vendors: state is kept, and a real socket is listened on."""
