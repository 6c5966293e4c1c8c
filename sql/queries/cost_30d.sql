-- total and mean cost in USD by provider and model over the last 30 days, successful requests only; those without a cost apart
-- window: 30 days
select
    provider,
    model,
    is_simulated,
    count(*) as requests,
    count(*) - count(cost_usd) as requests_without_cost,
    cast(sum(cast(cost_usd as decimal(38, 12))) as double) as total_cost_usd,
    avg(cost_usd) as mean_cost_usd
from benchmark_results
where outcome = 'ok' and created_at > $since and created_at <= $as_of
group by provider, model, is_simulated
order by provider, model, is_simulated
