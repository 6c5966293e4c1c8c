-- fail: no mean, quantile or cost is negative, infinite or not a number
select model, domain, window_name, measure, amount
from (
    unpivot (
        select
            model, domain, window_name, latency_mean_ms, latency_variance_ms2, latency_p50_ms, latency_p95_ms, latency_p99_ms,
            ttft_mean_ms, ttft_variance_ms2, ttft_p50_ms, ttft_p95_ms, ttft_p99_ms, tps_mean, tps_variance,
            inter_token_mean_ms, inter_token_variance_ms2, inter_token_p50_ms, inter_token_p95_ms, inter_token_p99_ms,
            cost_per_query, tokens_per_query, avg_output_length
        from model_metrics_by_window
    )
    on columns(* exclude (model, domain, window_name))
    into name measure value amount
)
where not (isfinite(amount) and amount >= 0)
order by model, domain, window_name, measure
