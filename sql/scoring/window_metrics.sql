-- one row per window_name, model, domain; domain null: all of them together
-- Rates with their Wilson interval (95 %), means with n and sample variance (null for n < 2). What nobody measured is null.
with shares as (
    select
        *,
        cast(latency_sum as hugeint) * cast(latency_sum as hugeint) as squared_latency,
        cast(ttft_sum as hugeint) * cast(ttft_sum as hugeint) as squared_ttft,
        cast(tps_sum as hugeint) * cast(tps_sum as hugeint) as squared_tps,
        correct / nullif(graded, 0) as accuracy,
        (failed + incomplete) / nullif(requests, 0) as failure_rate,
        1.959963984540054 as z
    from window_moments
),

wilson as (
    select
        *,
        (accuracy + z * z / (2 * graded)) / (1 + z * z / graded) as accuracy_middle,
        z * sqrt(accuracy * (1 - accuracy) / graded + z * z / (4.0 * graded * graded)) / (1 + z * z / graded) as accuracy_reach,
        (failure_rate + z * z / (2 * requests)) / (1 + z * z / requests) as failure_middle,
        z * sqrt(failure_rate * (1 - failure_rate) / requests + z * z / (4.0 * requests * requests))
        / (1 + z * z / requests) as failure_reach
    from shares
)

select
    m.window_name,
    m.model,
    m.domain,
    m.requests as usage_count,
    m.succeeded,
    m.incomplete,
    m.failed,
    m.graded,
    m.correct,
    m.accuracy,
    -- greatest and least ignore nulls: an interval of nothing must stay null
    case when m.graded > 0 then greatest(0.0, m.accuracy_middle - m.accuracy_reach) end as accuracy_low,
    case when m.graded > 0 then least(1.0, m.accuracy_middle + m.accuracy_reach) end as accuracy_high,
    m.failure_rate,
    greatest(0.0, m.failure_middle - m.failure_reach) as failure_rate_low,
    least(1.0, m.failure_middle + m.failure_reach) as failure_rate_high,
    m.latency_n,
    cast(m.latency_sum as double) / nullif(m.latency_n, 0) / 100 as latency_mean_ms,
    cast(m.latency_n * cast(m.latency_squares as hugeint) - m.squared_latency as double)
    / nullif(m.latency_n * (m.latency_n - 1), 0) / 10000 as latency_variance_ms2,
    latency.p50 as latency_p50_ms,
    latency.p95 as latency_p95_ms,
    latency.p99 as latency_p99_ms,
    m.ttft_n,
    cast(m.ttft_sum as double) / nullif(m.ttft_n, 0) / 100 as ttft_mean_ms,
    cast(m.ttft_n * cast(m.ttft_squares as hugeint) - m.squared_ttft as double)
    / nullif(m.ttft_n * (m.ttft_n - 1), 0) / 10000 as ttft_variance_ms2,
    ttft.p50 as ttft_p50_ms,
    ttft.p95 as ttft_p95_ms,
    ttft.p99 as ttft_p99_ms,
    m.tps_n,
    cast(m.tps_sum as double) / nullif(m.tps_n, 0) / 100 as tps_mean,
    cast(m.tps_n * cast(m.tps_squares as hugeint) - m.squared_tps as double)
    / nullif(m.tps_n * (m.tps_n - 1), 0) / 10000 as tps_variance,
    tps.p50 as tps_p50,
    tps.p95 as tps_p95,
    m.cost_n,
    cast(m.cost_sum as double) / nullif(m.cost_n, 0) / 1e9 as cost_per_query,
    m.tokens_n,
    cast(m.tokens_sum as double) / nullif(m.tokens_n, 0) as tokens_per_query,
    m.output_n,
    cast(m.output_sum as double) / nullif(m.output_n, 0) as avg_output_length,
    m.confidence_n,
    cast(m.confidence_sum as double) / nullif(m.confidence_n, 0) / 1e6 as confidence,
    m.last_seen as last_updated
from wilson as m
left join window_quantiles as latency
    on
        m.window_name = latency.window_name and m.model = latency.model
        and m.domain is not distinct from latency.domain and latency.metric = 'latency_ms'
left join window_quantiles as ttft
    on
        m.window_name = ttft.window_name and m.model = ttft.model
        and m.domain is not distinct from ttft.domain and ttft.metric = 'ttft_ms'
left join window_quantiles as tps
    on
        m.window_name = tps.window_name and m.model = tps.model
        and m.domain is not distinct from tps.domain and tps.metric = 'tps'
order by m.window_name, m.model, m.domain
