"""`scorehouse bench`: the mystery shopper by hand."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows import render
from flows.commands.options import Json
from flows.keys import announcement
from flows.settings import Settings, load_settings

if TYPE_CHECKING:
    from flows.jobs.benchmark import BenchmarkReport, BenchmarkRequest
    from flows.plan import Plan
    from providers.records import BenchmarkResult


def bench(
    provider: Annotated[list[str] | None, typer.Option(help="Only this provider; repeatable.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="Only this model, active or not; repeatable.")] = None,
    workload: Annotated[str | None, typer.Option(help="What to send; 'workloads list' shows what there is.")] = None,
    sample: Annotated[int | None, typer.Option(min=1, help="At most so many questions of each domain.")] = None,
    repeats: Annotated[
        int | None, typer.Option(min=1, max=10_000, help="How often each prompt goes to each model.")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(min=1, max=1000, help="Requests at once within one provider.")
    ] = None,
    sequential: Annotated[
        bool | None, typer.Option("--sequential/--side-by-side", help="Strictly one request at a time.")
    ] = None,
    cold: Annotated[bool | None, typer.Option("--cold/--warm", help="A new connection for each request.")] = None,
    max_usd: Annotated[float | None, typer.Option(min=0, help="The run's budget.")] = None,
    run_name: Annotated[str | None, typer.Option(help="A name for the run.")] = None,
    triggered_by: Annotated[str, typer.Option(help="Who asked: manual, cron-job, system, ...")] = "manual",
    seed: Annotated[int | None, typer.Option(min=0, help="Repeat a run's order.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be measured and at most cost; send nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Measure the active models now. A request that fails is a row, and the others go on."""
    from flows.jobs.benchmark import BenchmarkRequest, plan_benchmark

    settings = load_settings()
    request = BenchmarkRequest(
        providers=tuple(provider or ()), models=tuple(model or ()), workload=workload, sample=sample, repeats=repeats,
        concurrency=concurrency, sequential=sequential, cold=cold, max_usd=max_usd, run_name=run_name, triggered_by=triggered_by, seed=seed,
    )  # fmt: skip
    if dry_run:
        _show_plan(plan_benchmark(settings, request), settings, request, as_json=json)
        return
    run_and_show(settings, request, as_json=json)


def run_and_show(settings: Settings, request: "BenchmarkRequest", *, as_json: bool) -> None:
    """Run, watched on stderr, and show what was measured on stdout; under Prefect when PREFECT_API_URL is set."""
    from flows.jobs.benchmark import run_benchmark
    from flows.watch import Watch
    from providers.loop import run

    if notice := announcement(settings):
        render.say(notice)
    watch = Watch()
    if settings.prefect_api_url:
        from flows.benchmark import watched_benchmark

        report = watched_benchmark(settings, request, watch)
    else:
        report = run(run_benchmark(settings, request, watch))
    show_report(report, as_json=as_json)
    if not any(result.success for result in report.results):
        raise typer.Exit(1)


def show_report(report: "BenchmarkReport", *, as_json: bool) -> None:
    """The table of what was measured, and what a person should know about the run."""
    from flows.summary import summarize
    from flows.watch import COLUMNS, summary_rows

    summaries = summarize(report.results)
    if as_json:
        render.show_json(report_json(report))
    else:
        simulated = " (simulated providers)" if summaries and all(one.is_simulated for one in summaries) else ""
        render.show_table(f"Run {report.run_name}{simulated}", COLUMNS, summary_rows(summaries))
    cost = "an unknown cost" if report.cost_usd is None else f"{report.cost_usd:.6f} USD"
    unpriced = sum(result.success and result.cost_usd is None for result in report.results)
    if report.cost_usd is not None and unpriced:
        cost += f" and the unknown cost of {unpriced}"
    if report.estimated_models:
        cost += f" (estimated for {', '.join(report.estimated_models)}: prices of a price library)"
    good = sum(result.success for result in report.results)
    render.say(
        f"{good} of {len(report.results)} requests ok in {report.seconds:.1f} s for {cost}; run {report.run_id}."
    )
    reasons = sorted(
        {
            f"{_whose(result)}: {result.error_type}: {' '.join((result.error_message or '').split())}"
            for result in report.results
            if not result.success
        }
    )
    for reason in reasons[:8]:
        render.say(f"  {reason}")
    if len(reasons) > 8:
        render.say(f"  and {len(reasons) - 8} more kinds of failure; the log has them all.")
    if report.waiting:
        render.say(f"{report.waiting} results wait in the spool until the store takes them.")


def _whose(result: "BenchmarkResult") -> str:
    """Whom a failure is about: a key that is not there is missing once, however many models wait for it."""
    return result.provider if result.error_type == "secret_unavailable" else result.model


def report_json(report: "BenchmarkReport") -> dict[str, Any]:
    """A run as one JSON document."""
    from flows.summary import summarize

    return {
        "run_id": report.run_id,
        "run_name": report.run_name,
        "seed": report.seed,
        "requests": len(report.results),
        "ok": sum(result.success for result in report.results),
        "waiting": report.waiting,
        "seconds": round(report.seconds, 3),
        "cost_usd": report.cost_usd,
        "models_with_estimated_price": list(report.estimated_models),
        "models": [one.to_dict() for one in summarize(report.results)],
    }


def _show_plan(plan: "Plan", settings: Settings, request: "BenchmarkRequest", *, as_json: bool) -> None:
    limit = settings.benchmark.max_usd if request.max_usd is None else request.max_usd
    answer = {
        "requests": plan.size,
        "providers": {key: len(requests) for key, requests in plan.requests.items()},
        "models": list(plan.models),
        "at_most_usd": round(plan.most_usd, 6),
        "max_usd": limit,
        "models_without_price": list(plan.unpriced_models),
        "models_with_estimated_price": list(plan.estimated_models),
        "seed": plan.seed,
    }
    if as_json:
        render.show_json(answer)
        return
    for name, value in answer.items():
        render.out.print(f"{name:28}", render.plain(render.cell(value)), soft_wrap=True)
    if plan.most_usd > limit:
        render.say(
            f"The bound of {plan.most_usd:.4f} USD exceeds the budget of {limit} USD: the last requests may be skipped."
        )
