-- Written back by scoring, for those who read SQL or REST here: the lake is their source, and a refresh overwrites them.

create table public.model_metrics (
    id uuid primary key,
    model text not null,
    domain text not null,
    is_simulated boolean not null,
    usage_count public.whole not null,
    accuracy public.share,
    latency_ms public.amount,
    variance public.amount,
    failure_rate public.share,
    cost_per_query public.amount,
    confidence public.share,
    avg_output_length public.amount,
    tokens_per_query public.amount,
    last_updated timestamptz not null,
    unique (model, domain, is_simulated)
);
select scorehouse.describe('public.model_metrics', 'The latest all-time aggregate, one row per model and domain', '{
    "usage_count": "Requests, benchmark and live",
    "accuracy": "Share of gold questions answered rightly, 0..1; null: none asked",
    "latency_ms": "Mean duration of whole answers, in ms",
    "variance": "Variance of that, in ms squared; null for fewer than two",
    "failure_rate": "Share of failed and incomplete requests, 0..1",
    "cost_per_query": "Mean cost of a request whose cost is known, in USD",
    "confidence": "Mean confidence, 0..1",
    "avg_output_length": "Mean length of an answer, in tokens",
    "tokens_per_query": "Mean tokens of a request, in and out",
    "last_updated": "Its newest request (UTC)"
}');

create table public.model_metrics_by_window (
    id uuid primary key,
    model text not null,
    domain text,
    window_name text not null,
    is_simulated boolean not null,
    usage_count public.whole not null,
    succeeded public.whole not null,
    incomplete public.whole not null,
    failed public.whole not null,
    graded public.whole not null,
    correct public.whole not null,
    accuracy public.share,
    accuracy_low public.share,
    accuracy_high public.share,
    failure_rate public.share,
    failure_rate_low public.share,
    failure_rate_high public.share,
    latency_n public.whole not null,
    latency_mean_ms public.amount,
    latency_variance_ms2 public.amount,
    latency_p50_ms public.amount,
    latency_p95_ms public.amount,
    latency_p99_ms public.amount,
    ttft_n public.whole not null,
    ttft_mean_ms public.amount,
    ttft_variance_ms2 public.amount,
    ttft_p50_ms public.amount,
    ttft_p95_ms public.amount,
    ttft_p99_ms public.amount,
    tps_n public.whole not null,
    tps_mean public.amount,
    tps_variance public.amount,
    tps_p50 public.amount,
    tps_p95 public.amount,
    cost_n public.whole not null,
    cost_per_query public.amount,
    tokens_n public.whole not null,
    tokens_per_query public.amount,
    output_n public.whole not null,
    avg_output_length public.amount,
    confidence_n public.whole not null,
    confidence public.share,
    last_updated timestamptz
);
create unique index model_metrics_by_window_once on public.model_metrics_by_window (
    model, coalesce(domain, ''), window_name, is_simulated
);
select scorehouse.describe('public.model_metrics_by_window', 'The same over a window back from the snapshot''s time, with intervals', '{
    "domain": "Domain it is about; null: all of them together",
    "window_name": "24h, 7d, 30d or 90d",
    "usage_count": "Requests, benchmark and live",
    "succeeded": "Requests that were answered whole",
    "incomplete": "Requests whose answer broke off",
    "failed": "Requests that failed",
    "graded": "Gold questions graded",
    "correct": "Gold questions answered rightly",
    "accuracy": "correct / graded, 0..1",
    "accuracy_low": "Lower end of its 95 % interval (Wilson)",
    "accuracy_high": "Upper end of it",
    "failure_rate": "(failed + incomplete) / usage_count, 0..1",
    "failure_rate_low": "Lower end of its 95 % interval (Wilson)",
    "failure_rate_high": "Upper end of it",
    "latency_n": "Answers timed",
    "latency_mean_ms": "Mean duration of whole answers, in ms",
    "latency_variance_ms2": "Its variance, in ms squared",
    "latency_p50_ms": "Its median, in ms (to 1 %)",
    "latency_p95_ms": "Its 95th percentile, in ms (to 1 %)",
    "latency_p99_ms": "Its 99th percentile, in ms (to 1 %)",
    "ttft_n": "Answers whose first token was timed",
    "ttft_mean_ms": "Mean time to first token, in ms",
    "ttft_variance_ms2": "Its variance, in ms squared",
    "ttft_p50_ms": "Its median, in ms (to 1 %)",
    "ttft_p95_ms": "Its 95th percentile, in ms (to 1 %)",
    "ttft_p99_ms": "Its 99th percentile, in ms (to 1 %)",
    "tps_n": "Answers whose speed was measured",
    "tps_mean": "Mean speed, in tokens a second",
    "tps_variance": "Its variance",
    "tps_p50": "Its median, in tokens a second (to 1 %)",
    "tps_p95": "Its 95th percentile, in tokens a second (to 1 %)",
    "cost_n": "Requests whose cost is known",
    "cost_per_query": "Mean cost of those, in USD",
    "tokens_n": "Requests whose tokens are known",
    "tokens_per_query": "Mean tokens of those, in and out",
    "output_n": "Answers whose tokens are known",
    "avg_output_length": "Mean length of those, in tokens",
    "confidence_n": "Requests with a confidence",
    "confidence": "Its mean, 0..1",
    "last_updated": "The newest request (UTC)"
}');

create table public.model_totals (
    id uuid primary key,
    model text not null,
    is_simulated boolean not null,
    total_requests public.whole not null,
    total_tokens public.whole,
    total_cost public.amount,
    avg_latency public.amount,
    last_updated timestamptz,
    unique (model, is_simulated)
);
select scorehouse.describe('public.model_totals', 'What each model took on in all, one row per model', '{
    "total_requests": "Requests, benchmark and live",
    "total_tokens": "Tokens, in and out; null: unknown",
    "total_cost": "Cost in USD of those whose cost is known; null: of none",
    "avg_latency": "Mean duration of whole answers, in ms",
    "last_updated": "The newest request (UTC)"
}');

create table public.model_performance_history (
    id uuid primary key,
    model text not null,
    domain text,
    date date not null,
    is_simulated boolean not null,
    usage_count public.whole not null,
    accuracy public.share,
    failure_rate public.share,
    latency_ms public.amount,
    ttft_ms public.amount,
    tps public.amount,
    cost_per_query public.amount,
    tokens_per_query public.amount,
    avg_rating public.share,
    rating_count public.whole
);
create unique index model_performance_history_once on public.model_performance_history (
    model, coalesce(domain, ''), date, is_simulated
);
create index model_performance_history_by_date on public.model_performance_history (date);
select scorehouse.describe('public.model_performance_history', 'How a model did on each day (UTC)', '{
    "domain": "Domain it is about; null: all of them together",
    "date": "Day (UTC)",
    "usage_count": "Requests, benchmark and live",
    "accuracy": "Share of gold questions answered rightly, 0..1; null: none asked",
    "failure_rate": "Share of failed and incomplete requests, 0..1",
    "latency_ms": "Mean duration of whole answers, in ms",
    "ttft_ms": "Mean time to first token, in ms",
    "tps": "Mean speed, in tokens a second",
    "cost_per_query": "Mean cost of a request whose cost is known, in USD",
    "tokens_per_query": "Mean tokens of a request, in and out",
    "avg_rating": "Mean rating, 0..1; null: nobody rated",
    "rating_count": "Ratings"
}');

create table public.daily_aggregates (
    id uuid primary key,
    date date not null,
    is_simulated boolean not null,
    requests public.whole not null,
    total_cost public.amount,
    total_tokens public.whole,
    cache_hit_rate public.share,
    error_rate public.share,
    unique (date, is_simulated)
);
select scorehouse.describe('public.daily_aggregates', 'What each day (UTC) cost, and how much of it went wrong', '{
    "date": "Day (UTC)",
    "requests": "Requests, benchmark and live",
    "total_cost": "Cost in USD of those whose cost is known; null: of none",
    "total_tokens": "Tokens, in and out; null: unknown",
    "cache_hit_rate": "Share that a cache answered of those that say so, 0..1",
    "error_rate": "Share of failed and incomplete requests, 0..1"
}');

create table public.billing_records (
    id uuid primary key,
    tenant_id text not null,
    model text not null,
    provider text,
    period_start_at timestamptz not null,
    period_end_at timestamptz not null,
    is_simulated boolean not null,
    requests public.whole not null,
    requests_without_cost public.whole not null,
    tokens_input public.whole,
    tokens_output public.whole,
    total_cost public.amount,
    created_at timestamptz not null default now(),
    check (period_start_at < period_end_at)
);
create unique index billing_records_once on public.billing_records (
    tenant_id, period_start_at, period_end_at, model, coalesce(provider, ''), is_simulated
);
select scorehouse.describe('public.billing_records', 'What a tenant''s live requests cost, by period and model', '{
    "tenant_id": "Tenant that asked",
    "period_start_at": "From (UTC)",
    "period_end_at": "To, exclusive (UTC)",
    "requests": "Requests",
    "requests_without_cost": "Those whose cost nobody knows: they are not in total_cost",
    "tokens_input": "Tokens sent; null: unknown",
    "tokens_output": "Tokens answered; null: unknown",
    "total_cost": "Cost in USD of those whose cost is known; null: of none",
    "created_at": "When it was computed (UTC)"
}');
