# SPDX-License-Identifier: Apache-2.0
"""What `mlops validate` looks at before a project is registered or run."""
