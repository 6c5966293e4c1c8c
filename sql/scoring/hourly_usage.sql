-- one row per hour, is_simulated
-- Counts and exact sums: added up over files, and taken away again, they stay exact. A row without requests is no row.
select
    hour,
    is_simulated,
    count(*) as requests,
    count(*) filter (where outcome = 'incomplete') as incomplete,
    count(*) filter (where outcome = 'failed') as failed,
    count(cost_nanos) as cost_n,
    cast(coalesce(sum(cost_nanos), 0) as decimal(38, 0)) as cost_sum,
    -- tokens of a request are known when both counts are
    count(input_tokens + output_tokens) as tokens_n,
    cast(coalesce(sum(input_tokens + output_tokens), 0) as decimal(38, 0)) as tokens_sum,
    count(cache_hit) as cache_known,
    count(*) filter (where cache_hit) as cache_hits
from events
where left_out is null
group by hour, is_simulated
order by hour, is_simulated
