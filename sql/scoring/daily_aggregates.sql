-- one row per date (UTC): what one day's requests cost, and how many of them went wrong
select
    cast(hour as date) as date,
    cast($is_simulated as boolean) as is_simulated,
    cast(sum(requests) as bigint) as requests,
    cast(case when sum(cost_n) > 0 then sum(cost_sum) end as double) / 1e9 as total_cost,
    cast(case when sum(tokens_n) > 0 then sum(tokens_sum) end as bigint) as total_tokens,
    sum(cache_hits) / nullif(sum(cache_known), 0) as cache_hit_rate,
    sum(failed + incomplete) / sum(requests) as error_rate
from hourly_usage
where is_simulated = $is_simulated and hour <= date_trunc('hour', cast($as_of as timestamptz))
group by cast(hour as date)
order by cast(hour as date)
