-- one row per date, is_simulated, source, provider_name, model_name, outcome, error_type, status_code
-- The requests that as_of has reached and that did not succeed: counts add up over files, and can be taken away again.
select
    cast(hour as date) as date,
    is_simulated,
    source,
    provider_name,
    model_name,
    outcome,
    error_type,
    status_code,
    count(*) as requests
from events
where left_out is null and outcome in ('failed', 'incomplete') and hour <= date_trunc('hour', cast($as_of as timestamptz))
group by cast(hour as date), is_simulated, source, provider_name, model_name, outcome, error_type, status_code
order by cast(hour as date), is_simulated, source, provider_name, model_name, outcome, error_type, status_code
