select provider, is_simulated, count(*) as requests, sum((not success)::integer) as errors, avg((not success)::integer) as error_rate
from public.benchmark_results
where outcome in ('ok', 'incomplete', 'failed')
    and date_trunc('hour', created_at) between date_trunc('hour', %(as_of)s - interval '7 days') and date_trunc('hour', %(as_of)s)
group by provider, is_simulated order by provider, is_simulated
