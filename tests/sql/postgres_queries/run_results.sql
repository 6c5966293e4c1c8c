select r.id, r.provider, r.model, r.domain, r.outcome, r.status_code, r.error_type, r.total_latency_ms, r.ttft_ms, r.tps, r.input_tokens,
    r.output_tokens, c.cost_usd, r.cost_source, p.source = 'genai-prices' as is_price_estimated, r.correct, r.created_at
from public.benchmark_results as r
inner join public.result_costs as c on r.id = c.id
left join public.prices as p on r.price_id = p.id::text
where r.run_id = %(run_id)s order by r.created_at, r.id
