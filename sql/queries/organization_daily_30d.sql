-- cost in USD, requests and mean latency by organization on the last 30 days (UTC), live requests; a null is nobody's
-- window: 30 days
select
    date as day,
    tenant_id,
    is_simulated,
    requests,
    errors,
    requests_without_cost,
    total_cost as total_cost_usd,
    latency_ms
from organization_daily
where date > cast($since as date) and date <= cast($as_of as date)
order by day, tenant_id nulls last, is_simulated
