-- the results of one run, in the order they were measured; $run_id is its id
select
    r.id,
    r.provider,
    r.model,
    r.domain,
    r.outcome,
    r.status_code,
    r.error_type,
    r.total_latency_ms,
    r.ttft_ms,
    r.tps,
    r.input_tokens,
    r.output_tokens,
    r.cost_usd,
    r.cost_source,
    p.source = 'genai-prices' as is_price_estimated,
    r.correct,
    r.created_at
from benchmark_results as r
left join prices as p on r.price_id = p.id
where r.run_id = $run_id
order by r.created_at, r.id
