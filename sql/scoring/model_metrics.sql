-- one row per model, domain: everything ever measured of it, in the words of the warehouse's table
select
    model,
    domain,
    cast($is_simulated as boolean) as is_simulated,
    usage_count,
    accuracy,
    latency_mean_ms as latency_ms,
    latency_variance_ms2 as variance,
    failure_rate,
    cost_per_query,
    confidence,
    avg_output_length,
    tokens_per_query,
    last_updated
from window_metrics
where window_name = 'all' and domain is not null
order by model, domain
