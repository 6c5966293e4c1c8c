-- the scores hold hundredths, and whole hours
select date_trunc('hour', created_at) as hour, provider, is_simulated, count(*) as requests,
    avg(round(total_latency_ms::numeric, 2)) as latency_ms, avg(round(ttft_ms::numeric, 2)) as ttft_ms,
    avg(case when token_source = 'provider' then round(tps::numeric, 2) end) as tps
from public.benchmark_results
where success and date_trunc('hour', created_at) between date_trunc('hour', %(as_of)s - interval '7 days') and date_trunc('hour', %(as_of)s)
group by 1, provider, is_simulated order by 1, provider, is_simulated
