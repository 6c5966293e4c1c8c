select provider, is_simulated, count(*) as requests, avg(total_latency_ms) as latency_ms, avg(ttft_ms) as ttft_ms,
    avg(case when token_source = 'provider' then tps end) as tps
from public.benchmark_results
where success and created_at > %(as_of)s - interval '24 hours' and created_at <= %(as_of)s
group by provider, is_simulated order by provider, is_simulated
