"""The simulated world's truth: right at the known rate, wrong so that a grader sees it, the same for the same seed."""

from dataclasses import replace

import pytest

from analytics.grading import grade
from flows import workloads
from providers.simulated.world import World, models, providers, read_questions, split_tokens

QUESTIONS = read_questions(workloads.gold_files())
MODEL = models()["aurora-mini"]


def test_the_world_has_three_providers_two_dialects_and_eight_models() -> None:
    assert [provider.key for provider in providers()] == ["sim-aurora", "sim-borealis", "sim-cascade"]
    assert {provider.dialect for provider in providers()} == {"chat", "messages"}
    assert len(models()) == 8
    assert all(provider.name.endswith("(simulated)") for provider in providers())


def test_models_differ_in_speed_and_know_every_measured_domain() -> None:
    speeds = [model.ttft_ms for model in models().values()]
    assert len(set(speeds)) == len(speeds)
    assert all(20 <= speed <= 120 for speed in speeds)
    assert all(set(model.accuracy) == {domain.name for domain in workloads.domains()} for model in models().values())
    assert {model.id for model in models().values() if model.failure_rate} == {"borealis-flash"}


@pytest.mark.parametrize(("share", "graded"), [(1.0, True), (0.0, False)])
def test_a_right_answer_is_graded_right_and_a_mistake_wrong(share: float, graded: bool) -> None:
    sure = replace(MODEL, accuracy=dict.fromkeys(MODEL.accuracy, share))
    world = World(7, QUESTIONS)
    for prompt, question in QUESTIONS.items():
        for _ in range(3):
            reply = world.reply(sure, prompt, 512)
            assert reply.correct is graded
            assert grade(question.grader, question.expected_answer, reply.text) is graded, (prompt, reply.text)


def test_a_model_is_right_at_its_known_rate() -> None:
    world = World(1, QUESTIONS)
    prompts = [prompt for prompt, question in QUESTIONS.items() if question.domain == "math"]
    replies = [world.reply(MODEL, prompts[index % len(prompts)], None) for index in range(4000)]
    share = sum(reply.correct is True for reply in replies) / len(replies)
    assert share == pytest.approx(MODEL.accuracy["math"], abs=0.03)


def test_a_model_fails_at_its_known_rate() -> None:
    world = World(1)
    flash = models()["borealis-flash"]
    failed = sum(world.reply(flash, "Hello", None).failure is not None for _ in range(4000))
    assert failed / 4000 == pytest.approx(0.05, abs=0.015)
    assert all(world.reply(MODEL, "Hello", None).failure is None for _ in range(200))


def test_time_to_first_text_scatters_around_its_median() -> None:
    world = World(1)
    times = sorted(world.reply(MODEL, "Hello", None).ttft_ms for _ in range(2001))
    assert times[1000] == pytest.approx(MODEL.ttft_ms, rel=0.02)
    assert times[0] < times[-1] <= 3 * MODEL.ttft_ms


def test_one_seed_is_one_world_whatever_happened_in_between() -> None:
    one, other, third = World(5, QUESTIONS), World(5, QUESTIONS), World(6, QUESTIONS)
    first = [one.reply(MODEL, "Hello", None) for _ in range(3)]
    second = []
    for _ in range(3):
        other.reply(MODEL, "Something else", None)
        other.reply(models()["cascade-deep"], "Hello", None)
        second.append(other.reply(MODEL, "Hello", None))
    assert first == second
    assert len({reply.text for reply in first}) == 3
    assert third.reply(MODEL, "Hello", None) != first[0]


def test_an_unknown_prompt_gets_prose_without_a_grade() -> None:
    reply = World(0, QUESTIONS).reply(MODEL, "Tell me about boats.", None)
    assert (reply.correct, reply.finish) == (None, "stop")
    assert len(reply.tokens) > 20


def test_the_output_limit_cuts_the_answer() -> None:
    reply = World(0).reply(MODEL, "Tell me about boats.", 5)
    assert (len(reply.tokens), reply.finish, reply.output_tokens) == (5, "length", 5)


def test_reasoning_is_billed_and_not_part_of_the_text() -> None:
    reply = World(0, QUESTIONS).reply(models()["cascade-deep"], "Tell me about boats.", None)
    assert len(reply.reasoning) == 12
    assert reply.output_tokens == len(reply.tokens) + 12


@pytest.mark.parametrize("text", ["Canberra", "The answer is 42.", "B", "left ventricle"])
def test_tokens_joined_are_the_text(text: str) -> None:
    assert "".join(split_tokens(text)) == text
