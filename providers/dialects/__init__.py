"""The two wire formats. A vendor is data; a dialect is a module of pure functions: bytes in, deltas out."""

from collections.abc import Mapping

from providers.dialects import chat, messages
from providers.dialects.deltas import DialectModule

DIALECTS: Mapping[str, DialectModule] = {"chat": chat, "messages": messages}
