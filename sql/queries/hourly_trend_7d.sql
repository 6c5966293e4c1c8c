-- mean latency, time to first token and speed by hour (UTC) and provider over the last 7 days, successful requests only
-- window: 7 days
-- The hour that lies 7 days back is there whole.
select
    hour,
    provider,
    is_simulated,
    succeeded as requests,
    latency_ms,
    ttft_ms,
    tps
from hourly_trends
where source = 'benchmark' and succeeded > 0 and hour >= date_trunc('hour', $since) and hour <= $as_of
order by hour, provider, is_simulated
