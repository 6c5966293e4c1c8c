-- share of failed and incomplete requests by provider over the last 7 days
-- window: 7 days
-- The hour that lies 7 days back is there whole.
select
    provider,
    is_simulated,
    cast(sum(requests) as bigint) as requests,
    cast(sum(errors) as bigint) as errors,
    sum(errors) / sum(requests) as error_rate
from hourly_trends
where source = 'benchmark' and hour >= date_trunc('hour', $since) and hour <= $as_of
group by provider, is_simulated
order by provider, is_simulated
