# SPDX-License-Identifier: Apache-2.0
"""Volumes on the disks of this host itself."""
