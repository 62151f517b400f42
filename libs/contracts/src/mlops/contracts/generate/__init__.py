# SPDX-License-Identifier: Apache-2.0
"""What is written from the messages: JSON Schemas, an AsyncAPI document, examples, reference pages."""
