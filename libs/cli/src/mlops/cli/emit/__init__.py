# SPDX-License-Identifier: Apache-2.0
"""A deployment written down for other orchestrators: KServe, KubeRay, Compose."""
