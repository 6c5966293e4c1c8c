-- one row per hour, is_simulated, source, provider_name, model_name
-- Counts and exact sums: added up over files, and taken away again, they stay exact. A row without requests is no row.
select
    hour,
    is_simulated,
    source,
    provider_name,
    model_name,
    count(*) as requests,
    count(*) filter (where outcome = 'ok') as succeeded,
    count(*) filter (where outcome = 'incomplete') as incomplete,
    count(*) filter (where outcome = 'failed') as failed,
    count(latency_ticks) as latency_n,
    cast(coalesce(sum(latency_ticks), 0) as decimal(38, 0)) as latency_sum,
    count(ttft_ticks) as ttft_n,
    cast(coalesce(sum(ttft_ticks), 0) as decimal(38, 0)) as ttft_sum,
    count(tps_ticks) as tps_n,
    cast(coalesce(sum(tps_ticks), 0) as decimal(38, 0)) as tps_sum,
    count(cost_nanos) as cost_n,
    cast(coalesce(sum(cost_nanos), 0) as decimal(38, 0)) as cost_sum,
    -- tokens of a request are known when both counts are
    count(input_tokens + output_tokens) as tokens_n,
    cast(coalesce(sum(input_tokens + output_tokens), 0) as decimal(38, 0)) as tokens_sum,
    count(cache_hit) as cache_known,
    count(*) filter (where cache_hit) as cache_hits
from events
where left_out is null
group by hour, is_simulated, source, provider_name, model_name
order by hour, is_simulated, source, provider_name, model_name
