with errors as (
    select 'benchmark' as source, provider, model, is_simulated, outcome, error_type, status_code::bigint, created_at
    from public.benchmark_results where outcome in ('failed', 'incomplete')
    union all
    select 'live', provider, model, is_simulated, 'failed', error_type, null, created_at from public.request_events where not success
),
week as (
    select *, (created_at at time zone 'UTC')::date as day from errors
    where (created_at at time zone 'UTC')::date > (%(as_of)s at time zone 'UTC')::date - 7
        and date_trunc('hour', created_at) <= date_trunc('hour', %(as_of)s)
),
counted as (
    select source, provider, model, is_simulated, outcome, error_type, status_code, count(*) as errors, max(day) as last_day
    from week group by 1, 2, 3, 4, 5, 6, 7
)
select source, provider, model, is_simulated, outcome, error_type, status_code, errors,
    errors::double precision / (select sum(errors) from counted as o where (o.source, o.is_simulated) = (c.source, c.is_simulated)
        and o.provider is not distinct from c.provider) as share,
    last_day
from counted as c
order by errors desc, source, provider nulls last, model collate "C", is_simulated, outcome, error_type nulls last, status_code nulls last
