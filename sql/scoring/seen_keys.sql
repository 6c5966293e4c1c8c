-- one row per is_simulated, source, provider_name, model_name, domain, task_type
-- Who rows say they are of, in how many rows, and how many of them are later than $as_of.
select
    is_simulated,
    source,
    provider_name,
    model_name,
    domain,
    task_type,
    cast(sum(requests) as bigint) as requests,
    cast(coalesce(sum(requests) filter (where hour > date_trunc('hour', cast($as_of as timestamptz))), 0) as bigint) as later
from hourly_moments
group by is_simulated, source, provider_name, model_name, domain, task_type
order by is_simulated, source, provider_name, model_name, domain, task_type
