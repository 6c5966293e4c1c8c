-- one row per hour, is_simulated, source, provider_name
-- Counts and exact sums: they add up over files, and can be taken away again.
select
    hour,
    is_simulated,
    source,
    provider_name,
    count(*) as requests,
    count(*) filter (where outcome = 'ok') as succeeded,
    count(*) filter (where outcome in ('failed', 'incomplete')) as errors,
    count(latency_ticks) as latency_n,
    cast(coalesce(sum(latency_ticks), 0) as decimal(38, 0)) as latency_sum,
    count(ttft_ticks) as ttft_n,
    cast(coalesce(sum(ttft_ticks), 0) as decimal(38, 0)) as ttft_sum,
    count(tps_ticks) as tps_n,
    cast(coalesce(sum(tps_ticks), 0) as decimal(38, 0)) as tps_sum,
    count(cost_nanos) as cost_n,
    cast(coalesce(sum(cost_nanos), 0) as decimal(38, 0)) as cost_sum
from events
where left_out is null
group by hour, is_simulated, source, provider_name
order by hour, is_simulated, source, provider_name
