-- cost in USD, requests and mean latency by day (UTC) and organization over the last 30 days, live requests; a null is nobody's
-- window: 30 days
select
    cast(created_at as date) as day,
    tenant_id,
    is_simulated,
    count(*) as requests,
    count(*) filter (where not success) as errors,
    count(*) - count(cost) as requests_without_cost,
    cast(sum(cast(cost as decimal(38, 12))) as double) as total_cost_usd,
    avg(latency_ms) filter (where success) as latency_ms
from request_events
where created_at > $since and created_at <= $as_of
group by cast(created_at as date), tenant_id, is_simulated
order by day, tenant_id nulls last, is_simulated
