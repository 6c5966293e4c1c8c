select r.provider, r.model, r.is_simulated, count(*) as requests, sum((c.cost_usd is null)::integer) as requests_without_cost,
    sum((c.cost_usd is not null and coalesce(p.source, '') = 'genai-prices')::integer) as requests_at_estimated_price,
    sum(c.cost_usd) as total_cost_usd, avg(c.cost_usd) as mean_cost_usd
from public.benchmark_results as r
inner join public.result_costs as c on r.id = c.id
left join public.prices as p on r.price_id = p.id::text
where r.success and r.created_at > %(as_of)s - interval '30 days' and r.created_at <= %(as_of)s
group by r.provider, r.model, r.is_simulated order by r.provider, r.model, r.is_simulated
