# SPDX-License-Identifier: Apache-2.0
"""The one door for people and programs; read `app` first."""
