# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with a message: it cannot be read, or it must not be sent."""


class MessageError(ValueError):
    """A message breaks the contract; sending it again cannot help."""


class UnreadableMessageError(MessageError):
    """The bytes are no CloudEvent of the expected type, or its fields are invalid."""


class MessageTooLargeError(MessageError):
    """The encoded message exceeds `MAX_BYTES`; send a reference (uri, sha256) instead."""


class UnknownTypeError(MessageError):
    """No message of this type stands in the catalogue."""
