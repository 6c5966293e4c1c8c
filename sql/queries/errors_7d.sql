-- what went wrong on the last 7 days (UTC), today included: errors by model and kind, the most frequent first
-- window: 7 days
-- share is of all errors of that provider in these days.
select
    source,
    provider,
    model,
    is_simulated,
    outcome,
    error_type,
    status_code,
    cast(sum(errors) as bigint) as errors,
    sum(errors) / sum(sum(errors)) over (partition by source, provider, is_simulated) as share,
    max(date) as last_day
from error_breakdown
where date > cast($since as date) and date <= cast($as_of as date)
group by source, provider, model, is_simulated, outcome, error_type, status_code
order by
    errors desc,
    source asc,
    provider asc nulls last,
    model asc,
    is_simulated asc,
    outcome asc,
    error_type asc nulls last,
    status_code asc nulls last
