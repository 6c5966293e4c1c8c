-- runs that began in the last 24 hours, newest first
-- window: 24 hours
select
    id,
    run_name,
    triggered_by,
    workload_id,
    is_simulated,
    planned,
    started_at,
    finished_at
from runs
where started_at > $since and started_at <= $as_of
order by started_at desc, id desc
