select id, run_name, triggered_by, workload_id, is_simulated, planned, started_at, finished_at,
    extract(epoch from finished_at - started_at) as duration_s
from public.runs where finished_at <= %(as_of)s order by started_at desc, id desc
