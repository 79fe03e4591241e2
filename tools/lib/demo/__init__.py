# SPDX-License-Identifier: Apache-2.0
"""The main job on real storage, told as it goes."""
