-- one row per model: what it took on in all, in the words of the warehouse's table
select
    model,
    cast($is_simulated as boolean) as is_simulated,
    requests as total_requests,
    cast(case when tokens_n > 0 then tokens_sum end as bigint) as total_tokens,
    cast(case when cost_n > 0 then cost_sum end as double) / 1e9 as total_cost,
    cast(latency_sum as double) / nullif(latency_n, 0) / 100 as avg_latency,
    last_seen as last_updated
from window_moments
where window_name = 'all' and domain is null
order by model
