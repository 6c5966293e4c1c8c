-- one row per hour, is_simulated, source, provider_name, model_name, domain, task_type, metric, bucket
-- Logarithmic histograms: bucket b holds values up to g^b hundredths, g = 1.01 / 0.99: its middle is within 1 % of each.
-- A value of zero has no logarithm and gets the lowest bucket there is.
with measured as (
    select *, 'latency_ms' as metric, latency_ms as measure from events where latency_ms is not null
    union all
    select *, 'ttft_ms' as metric, ttft_ms as measure from events where ttft_ms is not null
    union all
    select *, 'tps' as metric, tps as measure from events where tps is not null
    union all
    select *, 'inter_token_ms' as metric, inter_token_ms as measure from events where inter_token_ms is not null
)

select
    hour,
    is_simulated,
    source,
    provider_name,
    model_name,
    domain,
    task_type,
    metric,
    cast(
        case when measure = 0 then -32768 else greatest(-32767, ceil(ln(measure * 100) / ln(1.01 / 0.99))) end as smallint
    ) as bucket,
    count(*) as requests
from measured
group by hour, is_simulated, source, provider_name, model_name, domain, task_type, metric, bucket
order by hour, is_simulated, source, provider_name, model_name, domain, task_type, metric, bucket
