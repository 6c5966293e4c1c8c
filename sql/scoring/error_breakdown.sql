-- one row per date (UTC), source, provider, model, outcome, error_type, status_code: errors of today and the 7 days before
-- error_rate is of all requests of that provider on that day, so that the rates of its rows add up to its error rate.
with days as (
    select
        cast(hour as date) as date,
        source,
        provider_name,
        cast(sum(requests) as bigint) as requests
    from hourly_totals
    where is_simulated = $is_simulated and hour <= date_trunc('hour', cast($as_of as timestamptz))
    group by cast(hour as date), source, provider_name
)

select
    e.date,
    e.source,
    e.provider_name as provider,
    coalesce(n.model, e.model_name) as model,
    e.outcome,
    e.error_type,
    e.status_code,
    cast($is_simulated as boolean) as is_simulated,
    cast(sum(e.requests) as bigint) as errors,
    d.requests as provider_requests,
    sum(e.requests) / d.requests as error_rate
from daily_errors as e
inner join days as d on e.date = d.date and e.source = d.source and e.provider_name is not distinct from d.provider_name
left join model_names as n on e.model_name = n.model_name and e.provider_name is not distinct from n.provider_name
where e.is_simulated = $is_simulated and e.date >= cast(cast($as_of as timestamptz) as date) - 7
group by e.date, e.source, e.provider_name, coalesce(n.model, e.model_name), e.outcome, e.error_type, e.status_code, d.requests
order by e.date, e.source, provider, model, e.outcome, e.error_type, e.status_code
