-- Runs of the benchmark engine and what they measured.

create table public.runs (
    id uuid primary key default gen_random_uuid(),
    run_name text not null,
    triggered_by text not null,
    workload_id text,
    is_simulated boolean not null default false,
    seed bigint not null,
    planned public.whole not null,
    max_usd public.amount,
    started_at timestamptz not null,
    finished_at timestamptz,
    slot text
);
create index runs_by_start on public.runs (started_at);
create index runs_by_end on public.runs (finished_at);
create index runs_by_name on public.runs (run_name);
create unique index runs_by_slot on public.runs (slot) where slot is not null;
select scorehouse.describe('public.runs', 'One row per benchmark run', '{
    "run_name": "Name for people",
    "triggered_by": "Who started it: system, cron-job, manual, ...",
    "workload_id": "What was asked",
    "seed": "Of the order in which the requests went out",
    "planned": "Requests that were planned",
    "max_usd": "Budget in USD, never exceeded; null: none",
    "started_at": "When it began (UTC)",
    "finished_at": "When it ended (UTC); null while it runs",
    "slot": "Slot of a schedule that it fills (benchmark@2026-11-21T04:15:00.000000Z); null: no schedule started it"
}');

create table public.benchmark_results (
    commit_seq bigint generated always as identity,
    txid xid8 not null default pg_current_xact_id(),
    id uuid primary key,
    run_id uuid not null references public.runs (id) on delete cascade,
    provider_id uuid references public.providers (id) on delete set null,
    model_id uuid references public.models (id) on delete set null,
    provider text not null,
    model text not null,
    is_simulated boolean not null,
    workload_id text not null,
    workload_version text not null,
    domain text,
    benchmark_id text,
    repeat bigint not null default 0,
    outcome text not null check (outcome in ('ok', 'incomplete', 'failed', 'aborted', 'skipped')),
    success boolean not null,
    status_code bigint,
    error_type text,
    error_code text,
    error_message text,
    finish_reason text,
    finish_reason_raw text,
    response_text text,
    response_model text,
    provider_request_id text,
    input_tokens public.whole,
    output_tokens public.whole,
    reasoning_tokens public.whole,
    cached_input_tokens public.whole,
    token_source text check (token_source in ('provider', 'estimated')),
    client_wait_ms public.finite,
    connect_ms public.finite,
    connection_reused boolean,
    headers_ms public.finite,
    first_event_ms public.finite,
    first_reasoning_ms public.finite,
    ttft_ms public.amount,
    total_latency_ms public.amount,
    call_latency_ms public.finite,
    max_gap_ms public.finite,
    inter_token_p50_ms public.finite,
    provider_time_ms public.finite,
    timing_source text check (timing_source in ('kernel', 'socket')),
    timing_uncertainty_ms public.finite,
    tps public.amount,
    cost_usd public.amount,
    cost_source text check (cost_source in ('provider', 'price')),
    price_id text,
    correct boolean,
    confidence public.share,
    created_at timestamptz not null,
    rate_limits public.object,
    dropped_parameters public.list not null default '[]'
);
create index benchmark_results_by_horizon on public.benchmark_results (txid, commit_seq);
create index benchmark_results_by_run on public.benchmark_results (run_id, created_at);
create index benchmark_results_by_provider_id on public.benchmark_results (provider_id);
create index benchmark_results_by_model_id on public.benchmark_results (model_id);
create index benchmark_results_by_provider on public.benchmark_results (provider, created_at);
create index benchmark_results_by_model on public.benchmark_results (model, created_at);
create index benchmark_results_by_time on public.benchmark_results (created_at);
create index benchmark_results_by_price on public.benchmark_results (price_id) where price_id is not null;
select scorehouse.describe('public.benchmark_results', 'One measured request of the engine. Append-only: it never changes after it landed', '{
    "id": "UUIDv7 by the client, in its spool before the call was made",
    "run_id": "Run it belongs to",
    "provider_id": "Provider; null once that was deleted",
    "model_id": "Model; null once that was deleted",
    "workload_id": "What was asked",
    "workload_version": "Version of that, by its content",
    "benchmark_id": "Gold question; null: a prompt without an expected answer",
    "repeat": "Which repetition of the prompt, from 0",
    "outcome": "ok, incomplete, failed, aborted (the engine died) or skipped (budget)",
    "success": "outcome = ok",
    "status_code": "HTTP status; null: no answer",
    "error_type": "Class of what went wrong; null: nothing",
    "error_code": "The provider''s own word for it",
    "error_message": "Excerpt of at most 2 KiB, redacted",
    "finish_reason": "Why it stopped: stop, length, tool_calls, content_filter, other",
    "finish_reason_raw": "The provider''s word for that",
    "response_text": "The whole visible answer",
    "response_model": "Model that the provider says answered",
    "provider_request_id": "The provider''s id of the request",
    "input_tokens": "Tokens sent",
    "output_tokens": "Tokens answered, reasoning included where the provider counts it",
    "reasoning_tokens": "Tokens of reasoning",
    "cached_input_tokens": "Tokens sent that the provider read from its cache",
    "token_source": "Who counted: provider, or estimated by us",
    "client_wait_ms": "Our own queueing before anything was sent, in ms",
    "connect_ms": "DNS, TCP and TLS, in ms; null on a reused connection",
    "connection_reused": "Whether the connection was warm",
    "headers_ms": "Request written to response headers, in ms",
    "first_event_ms": "Request written to first event, in ms",
    "first_reasoning_ms": "Request written to first reasoning text, in ms",
    "ttft_ms": "Time to first token: request written to first visible text, in ms",
    "total_latency_ms": "Request written to end of stream, in ms",
    "call_latency_ms": "Start of the call to end of stream, wait and connect included, in ms",
    "max_gap_ms": "Longest silence between two texts, in ms",
    "inter_token_p50_ms": "Median time between two texts, in ms",
    "provider_time_ms": "What the provider says it took, in ms",
    "timing_source": "Whose arrival stamps: kernel or socket",
    "timing_uncertainty_ms": "Width of the widest arrival interval that matters, in ms",
    "tps": "(output_tokens - 1) / (last token - first token), tokens a second",
    "cost_usd": "Cost in USD; null: unknown",
    "cost_source": "provider: it said so; price: computed from price_id",
    "price_id": "Price row that a computed cost rests on",
    "correct": "Whether a gold question was answered rightly; null: not graded",
    "confidence": "Confidence of the grade or answer, 0..1",
    "created_at": "When the request was about to go out (UTC)",
    "rate_limits": "JSON object: limits that the answer''s headers told; null: none",
    "dropped_parameters": "JSON list: parameters not sent because the model refuses them"
}');

create table public.tombstones (
    commit_seq bigint generated always as identity,
    txid xid8 not null default pg_current_xact_id(),
    id uuid primary key default gen_random_uuid(),
    run_id uuid not null unique,
    created_at timestamptz not null default now()
);
create index tombstones_by_horizon on public.tombstones (txid, commit_seq);
select scorehouse.describe('public.tombstones', 'Deleted runs: scoring leaves out what the lake still holds of them. Append-only', '{
    "run_id": "Run that was deleted"
}');

-- Whoever may delete a run leaves its tombstone, without being allowed to make one up.
create function scorehouse.leave_a_tombstone() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    insert into public.tombstones (id, run_id) values (old.id, old.id) on conflict do nothing;
    return null;
end
$$;
create trigger runs_leave_a_tombstone after delete on public.runs
for each row execute function scorehouse.leave_a_tombstone();

create table public.repricings (
    commit_seq bigint generated always as identity,
    txid xid8 not null default pg_current_xact_id(),
    id uuid primary key default gen_random_uuid(),
    price_id text not null,
    input_price_per_m public.amount not null,
    output_price_per_m public.amount not null,
    cached_input_price_per_m public.amount,
    reason text not null,
    created_at timestamptz not null default now()
);
create index repricings_by_horizon on public.repricings (txid, commit_seq);
create index repricings_by_price on public.repricings (price_id, created_at);
select scorehouse.describe('public.repricings', 'Corrections: results that name a price cost by these figures, the newest counts. Append-only', '{
    "price_id": "Price row that was wrong",
    "input_price_per_m": "USD per 1M input tokens",
    "output_price_per_m": "USD per 1M output tokens",
    "cached_input_price_per_m": "USD per 1M input tokens read from the provider''s cache; null: as input",
    "reason": "Why"
}');
