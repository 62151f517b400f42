# SPDX-License-Identifier: Apache-2.0
"""Code that travels inside a model's folder, so that it loads where this library is not installed."""
