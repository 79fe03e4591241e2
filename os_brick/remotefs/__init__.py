# SPDX-License-Identifier: Apache-2.0
"""Shares of remote file systems, mounted for services that hold volumes as files on them."""
