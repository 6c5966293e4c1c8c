-- share of failed and incomplete requests by provider over the last 7 days
-- window: 7 days
select
    provider,
    is_simulated,
    count(*) as requests,
    count(*) filter (where outcome <> 'ok') as errors,
    count(*) filter (where outcome <> 'ok') / count(*) as error_rate
from benchmark_results
where outcome not in ('aborted', 'skipped') and created_at > $since and created_at <= $as_of
group by provider, is_simulated
order by provider, is_simulated
