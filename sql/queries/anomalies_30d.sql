-- days (UTC) of the last 30 on which a model's errors, latency or cost were unlike those of its 7 or more days before
-- window: 30 days
-- Unlike: more than three standard deviations from the mean of the days before, the farthest first. A quiet week would make
-- anything strange, so a deviation counts as at least a twentieth of that mean, or as 0.01 of an error rate.
-- A day of fewer than 5 requests says nothing.
with requests as (
    select
        'benchmark' as source,
        provider,
        model,
        is_simulated,
        created_at,
        outcome = 'ok' as success,
        total_latency_ms as latency_ms,
        cost_usd
    from benchmark_results
    where outcome not in ('aborted', 'skipped')
    union all
    select
        'live' as source,
        provider,
        model,
        is_simulated,
        created_at,
        success,
        latency_ms,
        cost as cost_usd
    from request_events
),

days as (
    select
        source,
        provider,
        model,
        is_simulated,
        cast(created_at as date) as day,
        count(*) as requests,
        avg(case when success then 0.0 else 1.0 end) as error_rate,
        avg(latency_ms) filter (where success) as latency_ms,
        avg(cost_usd) filter (where success) as cost_usd
    from requests
    where created_at > $since and created_at <= $as_of
    group by source, provider, model, is_simulated, cast(created_at as date)
    having count(*) >= 5
),

measures as (
    select source, provider, model, is_simulated, day, requests, 'error_rate' as measure, error_rate as value from days
    union all
    select source, provider, model, is_simulated, day, requests, 'latency_ms' as measure, latency_ms as value from days
    union all
    select source, provider, model, is_simulated, day, requests, 'cost_usd' as measure, cost_usd as value from days
),

compared as (
    select
        *,
        count(*) over before as days_before,
        avg(value) over before as usual,
        greatest(
            stddev_samp(value) over before, case measure when 'error_rate' then 0.01 else 0.05 * avg(value) over before end
        ) as deviation
    from measures
    where value is not null
    window before as (
        partition by source, provider, model, is_simulated, measure
        order by day rows between unbounded preceding and 1 preceding
    )
)

select
    day,
    source,
    provider,
    model,
    is_simulated,
    measure,
    requests,
    value,
    usual,
    (value - usual) / nullif(deviation, 0) as deviations
from compared
where days_before >= 7 and abs(value - usual) > 3 * deviation
order by
    abs(value - usual) / nullif(deviation, 0) desc nulls first,
    day desc,
    source asc,
    model asc,
    measure asc,
    provider asc nulls last,
    is_simulated asc
