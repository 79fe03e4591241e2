# SPDX-License-Identifier: Apache-2.0
"""Data that tests of consumers import; our own tests are in ``tests``."""
