# SPDX-License-Identifier: Apache-2.0
"""Tests of os_brick.remotefs."""
