-- mean latency, time to first token and speed by hour (UTC) and provider over the last 7 days, successful requests only
-- window: 7 days
select
    date_trunc('hour', created_at) as hour,
    provider,
    is_simulated,
    count(*) as requests,
    avg(total_latency_ms) as latency_ms,
    avg(ttft_ms) as ttft_ms,
    avg(tps) filter (where token_source = 'provider') as tps
from benchmark_results
where outcome = 'ok' and created_at > $since and created_at <= $as_of
group by date_trunc('hour', created_at), provider, is_simulated
order by hour, provider, is_simulated
