select (created_at at time zone 'UTC')::date as day, tenant_id, is_simulated, count(*) as requests,
    sum((not success)::integer) as errors, sum((cost is null)::integer) as requests_without_cost, sum(cost) as total_cost_usd,
    avg(case when success and cache_hit is not true then round(latency_ms::numeric, 2) end) as latency_ms
from public.request_events
where (created_at at time zone 'UTC')::date > (%(as_of)s at time zone 'UTC')::date - 30
    and date_trunc('hour', created_at) <= date_trunc('hour', %(as_of)s)
group by 1, tenant_id, is_simulated order by 1, tenant_id nulls last, is_simulated
