"""The simulated world: its providers and models as data, and what each request is answered with.

All draws come from the world's seed, the model, the prompt and how often this model has seen this prompt, so that two runs
of one seed see the same world, whatever else happened in between.
"""

import hashlib
import json
import math
import random
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

_FAILURES = ("error_503", "rate_429", "cut_stream")
_WORDS = [
    "harbour",
    "quay",
    "light",
    "tide",
    "pilot",
    "crane",
    "morning",
    "signal",
    "buoy",
    "channel",
    "ferry",
    "north",
    "wind",
    "steady",
    "report",
    "survey",
    "depth",
    "chart",
    "anchor",
    "store",
    "rope",
    "crew",
    "watch",
    "calm",
    "open",
    "clear",
    "slow",
    "first",
    "later",
    "today",
    "office",
    "notice",
    "timetable",
    "yard",
    "boat",
]


@dataclass(frozen=True, slots=True)
class SimulatedModel:
    """The truth about one model. Times are milliseconds, prices USD per 1M tokens, rates 0..1; `accuracy` is by domain."""

    id: str
    display_name: str
    ttft_ms: float
    spread: float
    inter_token_ms: float
    accuracy: Mapping[str, float]
    input_price_per_m: Decimal
    output_price_per_m: Decimal
    context_window: int
    failure_rate: float = 0.0
    capabilities: tuple[str, ...] = ()
    reasoning_tokens: int = 0


@dataclass(frozen=True, slots=True)
class SimulatedProvider:
    """One simulated provider; `path` begins its URLs, `listing` names the shape of its models endpoint."""

    key: str
    path: str
    name: str
    provider_type: str
    dialect: str
    listing: str
    models: Mapping[str, SimulatedModel]


@dataclass(frozen=True, slots=True)
class Question:
    """A gold question that the world knows the answer of: `solution` where the expected answer is a pattern or tests."""

    expected_answer: str
    grader: str
    domain: str
    solution: str | None = None

    @property
    def answer(self) -> str:
        """What a right reply says."""
        return self.expected_answer if self.solution is None else self.solution


@dataclass(frozen=True, slots=True)
class Reply:
    """What one request is answered with, and when: `ttft_ms` after it was received, then one token per `inter_token_ms`.

    `correct` is None for a prompt that is no gold question; `failure` names the fault that strikes this request, if any.
    """

    model: str
    tokens: tuple[str, ...]
    ttft_ms: float
    inter_token_ms: float
    input_tokens: int
    finish: str = "stop"
    reasoning: tuple[str, ...] = ()
    correct: bool | None = None
    failure: str | None = None

    @property
    def text(self) -> str:
        """The visible text as a whole."""
        return "".join(self.tokens)

    @property
    def output_tokens(self) -> int:
        """What the provider bills: visible and reasoning tokens."""
        return len(self.tokens) + len(self.reasoning)


@cache
def providers() -> tuple[SimulatedProvider, ...]:
    """The simulated providers, as `world.toml` describes them."""
    described = tomllib.loads(Path(__file__).with_name("world.toml").read_text("utf-8"))
    return tuple(_provider(entry) for entry in described["providers"])


@cache
def models() -> Mapping[str, SimulatedModel]:
    """Every simulated model by its id."""
    return {model.id: model for provider in providers() for model in provider.models.values()}


@dataclass(slots=True)
class World:
    """A seeded world that knows some gold questions. `reply` counts what it was asked; nothing else changes it."""

    seed: int
    questions: Mapping[str, Question] = field(default_factory=dict)
    _asked: dict[tuple[str, str], int] = field(default_factory=dict)

    def reply(self, model: SimulatedModel, prompt: str, max_tokens: int | None) -> Reply:
        """The answer to one more request of `prompt` to `model`, cut after `max_tokens`."""
        count = self._asked.get((model.id, prompt), 0)
        self._asked[model.id, prompt] = count + 1
        draw = _draw(self.seed, model.id, prompt, count)
        ttft_ms = model.ttft_ms * min(math.exp(draw.gauss(0.0, model.spread)), 3.0)
        failure = draw.choice(_FAILURES) if draw.random() < model.failure_rate else None
        question = self.questions.get(prompt.strip())
        correct = None if question is None else draw.random() < model.accuracy.get(question.domain, 0.5)
        text = _prose(draw) if question is None else self._answer(question, bool(correct), draw)
        reasoning = tuple(split_tokens(_prose(draw)))[: model.reasoning_tokens]
        tokens = tuple(split_tokens(text))
        room = len(tokens) if max_tokens is None else max(max_tokens - len(reasoning), 0)
        return Reply(
            model=model.id,
            tokens=tokens[:room],
            ttft_ms=ttft_ms,
            inter_token_ms=model.inter_token_ms,
            input_tokens=-(-len(prompt.encode()) // 4),
            finish="stop" if len(tokens) <= room else "length",
            reasoning=reasoning,
            correct=correct if len(tokens) <= room else None,
            failure=failure,
        )

    def _answer(self, question: Question, correct: bool, draw: random.Random) -> str:
        answer = question.answer if correct else self._mistake(question, draw)
        dressed = {
            "numeric": f"The answer is {answer}.",
            "choice": f"Answer: {answer}",
            "json": f"```json\n{answer}\n```",
            "code": f"```python\n{answer}\n```",
        }
        return dressed.get(question.grader, answer)

    def _mistake(self, question: Question, draw: random.Random) -> str:
        right = question.expected_answer
        if question.grader == "numeric":
            number = re.match(r"-?\d+(\.\d+)?", right)
            return str(Decimal(number[0] if number else 0) + draw.choice((-3, -1, 1, 2, 10)))
        if question.grader == "choice":
            return draw.choice([letter for letter in "ABCD" if letter != right])
        others = {known.answer for known in self.questions.values() if known.grader == question.grader} - {
            question.answer
        }
        return draw.choice(sorted(others) or ["nothing"])


def read_questions(paths: Sequence[Path]) -> dict[str, Question]:
    """The gold questions of JSON Lines files, by prompt."""
    entries = (json.loads(line) for path in paths for line in path.read_text("utf-8").split("\n") if line.strip())
    return {
        entry["prompt"].strip(): Question(
            entry["expected_answer"], entry["grader"], entry["domain"], entry.get("solution")
        )
        for entry in entries
    }


def split_tokens(text: str) -> list[str]:
    """A text in pieces of a token's usual size; joined they give the text."""
    return re.findall(r"\s*\S{1,4}|\s+$", text)


def _draw(*causes: object) -> random.Random:
    digest = hashlib.sha256("\0".join(map(str, causes)).encode()).digest()
    return random.Random(int.from_bytes(digest[:8], "big"))  # noqa: S311  # a simulation, no secret


def _prose(draw: random.Random) -> str:
    words = draw.choices(_WORDS, k=draw.randint(18, 30))
    return f"{' '.join(words).capitalize()}."


def _provider(entry: Mapping[str, Any]) -> SimulatedProvider:
    models = {model["id"]: _model(model) for model in entry["models"]}
    return SimulatedProvider(**{**entry, "models": models})


def _model(entry: Mapping[str, Any]) -> SimulatedModel:
    prices = {name: Decimal(entry[name]) for name in ("input_price_per_m", "output_price_per_m")}
    return SimulatedModel(**{**entry, **prices, "capabilities": tuple(entry.get("capabilities", ()))})
