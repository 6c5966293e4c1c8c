-- one row per date, is_simulated, tenant_id
-- Live requests that as_of has reached; counts and exact sums add up over files, and can be taken away again.
select
    cast(hour as date) as date,
    is_simulated,
    tenant_id,
    count(*) as requests,
    count(*) filter (where outcome = 'failed') as errors,
    count(latency_ticks) as latency_n,
    cast(coalesce(sum(latency_ticks), 0) as decimal(38, 0)) as latency_sum,
    count(cost_nanos) as cost_n,
    cast(coalesce(sum(cost_nanos), 0) as decimal(38, 0)) as cost_sum,
    -- tokens of a request are known when both counts are
    count(input_tokens + output_tokens) as tokens_n,
    cast(coalesce(sum(input_tokens + output_tokens), 0) as decimal(38, 0)) as tokens_sum
from events
where left_out is null and source = 'live' and hour <= date_trunc('hour', cast($as_of as timestamptz))
group by cast(hour as date), is_simulated, tenant_id
order by cast(hour as date), is_simulated, tenant_id
