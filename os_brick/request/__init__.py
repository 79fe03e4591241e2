# SPDX-License-Identifier: Apache-2.0
"""What the callers' dictionaries mean, a file a protocol: parsed once, checked, frozen."""
