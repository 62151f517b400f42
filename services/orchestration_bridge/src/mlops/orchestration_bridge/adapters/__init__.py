# SPDX-License-Identifier: Apache-2.0
"""The outside: Airflow, its files and its REST API, and what stands in for it in tests."""
