# SPDX-License-Identifier: Apache-2.0
"""What the library costs: programs started, seconds, memory; beside the reference, in turn."""
