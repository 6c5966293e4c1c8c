-- the results of one run, in the order they were measured; $run_id is its id
select
    id,
    provider,
    model,
    domain,
    outcome,
    status_code,
    error_type,
    total_latency_ms,
    ttft_ms,
    tps,
    input_tokens,
    output_tokens,
    cost_usd,
    correct,
    created_at
from benchmark_results
where run_id = $run_id
order by created_at, id
