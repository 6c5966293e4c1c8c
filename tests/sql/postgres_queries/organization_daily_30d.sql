select (created_at at time zone 'UTC')::date as day, tenant_id, is_simulated, count(*) as requests,
    sum((not success)::integer) as errors, sum((cost is null)::integer) as requests_without_cost, sum(cost) as total_cost_usd,
    avg(case when success then latency_ms end) as latency_ms
from public.request_events
where created_at > %(as_of)s - interval '30 days' and created_at <= %(as_of)s
group by 1, tenant_id, is_simulated order by 1, tenant_id nulls last, is_simulated
