-- one row per date (UTC), tenant_id: what one organization's live requests of a day cost, today and the 90 days before
-- A tenant_id of null is nobody's. The mean latency is over successes, without a cache's answers.
select
    date,
    tenant_id,
    cast($is_simulated as boolean) as is_simulated,
    cast(sum(requests) as bigint) as requests,
    cast(sum(errors) as bigint) as errors,
    sum(errors) / sum(requests) as error_rate,
    cast(sum(requests) - sum(cost_n) as bigint) as requests_without_cost,
    cast(case when sum(cost_n) > 0 then sum(cost_sum) end as double) / 1e9 as total_cost,
    cast(case when sum(tokens_n) > 0 then sum(tokens_sum) end as bigint) as total_tokens,
    cast(sum(latency_sum) as double) / nullif(sum(latency_n), 0) / 100 as latency_ms
from daily_organizations
where is_simulated = $is_simulated and date >= cast(cast($as_of as timestamptz) as date) - 90
group by date, tenant_id
order by date, tenant_id
