-- one row per request of one day, benchmark or live, that counts or is left out for a reason
-- Durations are ticks of 0.01 ms, speeds ticks of 0.01 tokens/s, money is in 1e-9 USD, confidence in 1e-6:
-- whole numbers add up exactly, in any order.
-- A NaN passes `>= 0` in DuckDB, so every measure has to be finite too; upper bounds keep sums of squares inside 38 digits.
with requests as (
    select
        'benchmark' as source,
        r.id,
        r.is_simulated,
        r.provider as provider_name,
        r.model as model_name,
        r.domain,
        cast(null as varchar) as task_type,
        r.outcome,
        r.error_type,
        r.status_code,
        cast(null as varchar) as tenant_id,
        r.total_latency_ms as latency_ms,
        r.ttft_ms,
        -- a speed from an estimated number of tokens is no measurement
        case when r.token_source = 'provider' then r.tps end as tps,
        r.inter_token_p50_ms as inter_token_ms,
        r.input_tokens,
        r.output_tokens,
        case when c.id is null then r.cost_usd else c.cost_usd end as cost_usd,
        r.confidence,
        case when r.benchmark_id is not null and r.outcome = 'ok' then r.correct end as correct,
        cast(null as boolean) as cache_hit,
        r.created_at,
        t.run_id is not null as is_deleted
    from benchmark_results as r
    left join tombstones as t on r.run_id = t.run_id
    left join repriced_costs as c on r.id = c.id
    union all
    select
        'live' as source,
        e.id,
        e.is_simulated,
        e.provider as provider_name,
        e.model as model_name,
        e.domain,
        e.task_type,
        case when e.success then 'ok' when not e.success then 'failed' end as outcome,
        e.error_type,
        cast(null as bigint) as status_code,
        e.tenant_id,
        e.latency_ms,
        e.ttft_ms,
        cast(null as double) as tps,
        cast(null as double) as inter_token_ms,
        e.tokens_input as input_tokens,
        e.tokens_output as output_tokens,
        e.cost as cost_usd,
        e.confidence,
        cast(null as boolean) as correct,  -- accuracy is of benchmark questions only
        e.cache_hit,
        e.created_at,
        false as is_deleted
    from request_events as e
),

judged as (
    select
        *,
        case
            when is_deleted then 'its run was deleted'
            when outcome in ('aborted', 'skipped') then outcome
            when created_at is null then 'created_at is unreadable'
            when model_name is null or is_simulated is null or outcome is null then 'model, is_simulated or success is missing'
            when not coalesce(isfinite(latency_ms) and latency_ms between 0 and 1e8, true) then 'latency out of range'
            when not coalesce(isfinite(ttft_ms) and ttft_ms between 0 and 1e8, true) then 'ttft_ms out of range'
            when not coalesce(isfinite(tps) and tps between 0 and 1e8, true) then 'tps out of range'
            when not coalesce(isfinite(inter_token_ms) and inter_token_ms between 0 and 1e8, true)
                then 'inter_token_ms out of range'
            when not coalesce(isfinite(cost_usd) and cost_usd between 0 and 1e6, true) then 'cost out of range'
            when not coalesce(isfinite(confidence) and confidence between 0 and 1, true) then 'confidence out of range'
            when not coalesce(input_tokens between 0 and 1e12, true) then 'input_tokens out of range'
            when not coalesce(output_tokens between 0 and 1e12, true) then 'output_tokens out of range'
        end as left_out
    from requests
),

timed as (
    select
        *,
        -- only answers that came whole, and from the model: a cache's speed is not the model's
        left_out is null and outcome = 'ok' and not coalesce(cache_hit, false) as is_timed
    from judged
)

select
    source,
    id,
    is_simulated,
    provider_name,
    model_name,
    domain,
    task_type,
    outcome,
    error_type,
    status_code,
    tenant_id,
    left_out,
    created_at,
    date_trunc('hour', created_at) as hour,
    case when is_timed then latency_ms end as latency_ms,
    case when is_timed then ttft_ms end as ttft_ms,
    case when is_timed then tps end as tps,
    case when is_timed then inter_token_ms end as inter_token_ms,
    case when is_timed then cast(round(latency_ms * 100) as bigint) end as latency_ticks,
    case when is_timed then cast(round(ttft_ms * 100) as bigint) end as ttft_ticks,
    case when is_timed then cast(round(tps * 100) as bigint) end as tps_ticks,
    case when is_timed then cast(round(inter_token_ms * 100) as bigint) end as inter_token_ticks,
    case when left_out is null then input_tokens end as input_tokens,
    case when left_out is null then output_tokens end as output_tokens,
    case when left_out is null then cast(round(cost_usd * 1e9) as bigint) end as cost_nanos,
    case when left_out is null then cast(round(confidence * 1e6) as bigint) end as confidence_micros,
    case when left_out is null then correct end as correct,
    case when left_out is null then cache_hit end as cache_hit
from timed
order by source, id
