-- completed runs with their durations, newest first
select
    id,
    run_name,
    triggered_by,
    workload_id,
    is_simulated,
    planned,
    started_at,
    finished_at,
    (epoch_us(finished_at) - epoch_us(started_at)) / 1e6 as duration_s
from runs
where finished_at <= $as_of
order by started_at desc, id desc
