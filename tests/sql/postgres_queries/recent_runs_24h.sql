select id, run_name, triggered_by, workload_id, is_simulated, planned, started_at, finished_at
from public.runs where started_at > %(as_of)s - interval '24 hours' and started_at <= %(as_of)s order by started_at desc, id desc
