with days as (
    select source, provider, model, is_simulated, (created_at at time zone 'UTC')::date as day, count(*) as requests,
        avg((not success)::integer) as error_rate, avg(case when success then latency_ms end) as latency_ms,
        avg(case when success then cost_usd end) as cost_usd
    from (
        select 'benchmark' as source, r.provider, r.model, r.is_simulated, r.created_at, r.success, r.total_latency_ms as latency_ms, c.cost_usd
        from public.benchmark_results as r inner join public.result_costs as c on r.id = c.id
        where r.outcome in ('ok', 'incomplete', 'failed')
        union all
        select 'live', provider, model, is_simulated, created_at, success, latency_ms, cost from public.request_events
    ) as requests
    where created_at > %(as_of)s - interval '30 days' and created_at <= %(as_of)s
    group by source, provider, model, is_simulated, 5
    having count(*) >= 5
),
measures as (
    select d.*, m.measure, m.value from days as d
    cross join lateral (values ('error_rate', d.error_rate::double precision), ('latency_ms', d.latency_ms), ('cost_usd', d.cost_usd))
        as m (measure, value)
    where m.value is not null
),
compared as (
    select m.*, b.usual, greatest(b.spread, case m.measure when 'error_rate' then 0.01 else b.usual / 20 end) as deviation
    from measures as m
    cross join lateral (
        select count(*) as days, avg(o.value) as usual, stddev_samp(o.value) as spread
        from measures as o
        where o.day < m.day and o.measure = m.measure and o.source = m.source and o.provider is not distinct from m.provider
            and o.model = m.model and o.is_simulated = m.is_simulated
    ) as b
    where b.days >= 7
)
select day, source, provider, model, is_simulated, measure, requests, value, usual,
    case when deviation > 0 then (value - usual) / deviation end as deviations
from compared
where abs(value - usual) > 3 * deviation
order by case when deviation > 0 then abs(value - usual) / deviation else 'infinity' end desc, day desc, source, model, measure,
    provider nulls last, is_simulated
