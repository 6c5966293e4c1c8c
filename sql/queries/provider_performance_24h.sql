-- mean latency, time to first token and speed by provider over the last 24 hours, successful requests only
-- window: 24 hours
select
    provider,
    is_simulated,
    count(*) as requests,
    avg(total_latency_ms) as latency_ms,
    avg(ttft_ms) as ttft_ms,
    avg(tps) filter (where token_source = 'provider') as tps
from benchmark_results
where outcome = 'ok' and created_at > $since and created_at <= $as_of
group by provider, is_simulated
order by provider, is_simulated
