-- total and mean cost in USD by provider and model over the last 30 days, successful requests only; those without a cost apart
-- window: 30 days
select
    r.provider,
    r.model,
    r.is_simulated,
    count(*) as requests,
    count(*) - count(r.cost_usd) as requests_without_cost,
    count(r.cost_usd) filter (where p.source = 'genai-prices') as requests_at_estimated_price,
    cast(sum(cast(r.cost_usd as decimal(38, 12))) as double) as total_cost_usd,
    avg(r.cost_usd) as mean_cost_usd
from benchmark_results as r
left join prices as p on r.price_id = p.id
where r.outcome = 'ok' and r.created_at > $since and r.created_at <= $as_of
group by r.provider, r.model, r.is_simulated
order by r.provider, r.model, r.is_simulated
