"""Vendors in their documented shapes: what each puts on the wire, and what we must make of it."""

from .anthropic import ANTHROPIC
from .azure import AZURE, AZURE_DATED
from .gateways import DEEPSEEK, LITELLM, SGLANG
from .groq import GROQ
from .local import LLAMA_CPP, LM_STUDIO, LM_STUDIO_NATIVE, OLLAMA, VLLM
from .openai import OPENAI
from .openrouter import OPENROUTER
from .together import TOGETHER
from .vendor import Reply, Vendor, stream

__all__ = ["VENDORS", "VLLM", "Reply", "Vendor", "stream"]

VENDORS = (
    OPENAI, GROQ, TOGETHER, OPENROUTER, ANTHROPIC, AZURE, AZURE_DATED,
    VLLM, OLLAMA, LLAMA_CPP, LM_STUDIO, LM_STUDIO_NATIVE, LITELLM, DEEPSEEK, SGLANG,
)  # fmt: skip
