# SPDX-License-Identifier: Apache-2.0
"""The source of every Bento we build: copied into it as it stands, so that it runs wherever BentoML does."""
