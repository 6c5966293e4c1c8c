-- one row per hour (UTC), source, provider: requests, errors, means and cost of the last 7 days
-- The 168 whole hours before the one that as_of lies in, and what has passed of that.
-- Means are over successes, without a cache's answers.
select
    hour,
    source,
    provider_name as provider,
    cast($is_simulated as boolean) as is_simulated,
    cast(sum(requests) as bigint) as requests,
    cast(sum(succeeded) as bigint) as succeeded,
    cast(sum(errors) as bigint) as errors,
    sum(errors) / sum(requests) as error_rate,
    cast(sum(latency_n) as bigint) as latency_n,
    cast(sum(latency_sum) as double) / nullif(sum(latency_n), 0) / 100 as latency_ms,
    cast(sum(ttft_n) as bigint) as ttft_n,
    cast(sum(ttft_sum) as double) / nullif(sum(ttft_n), 0) / 100 as ttft_ms,
    cast(sum(tps_n) as bigint) as tps_n,
    cast(sum(tps_sum) as double) / nullif(sum(tps_n), 0) / 100 as tps,
    cast(sum(requests) - sum(cost_n) as bigint) as requests_without_cost,
    cast(case when sum(cost_n) > 0 then sum(cost_sum) end as double) / 1e9 as total_cost
from hourly_totals
where
    is_simulated = $is_simulated
    and hour <= date_trunc('hour', cast($as_of as timestamptz))
    and hour >= date_trunc('hour', cast($as_of as timestamptz)) - interval 168 hours
group by hour, source, provider_name
order by hour, source, provider_name
