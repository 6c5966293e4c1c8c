-- fail: a mean or percentile lies inside its interval, which has both ends or none
select m.model, m.domain, m.window_name, f.measure, f.amount, f.low, f.high
from model_metrics_by_window as m
cross join
    lateral (
        values
        ('latency_mean_ms', m.latency_mean_ms, m.latency_mean_low_ms, m.latency_mean_high_ms),
        ('latency_p50_ms', m.latency_p50_ms, m.latency_p50_low_ms, m.latency_p50_high_ms),
        ('latency_p95_ms', m.latency_p95_ms, m.latency_p95_low_ms, m.latency_p95_high_ms),
        ('latency_p99_ms', m.latency_p99_ms, m.latency_p99_low_ms, m.latency_p99_high_ms),
        ('ttft_mean_ms', m.ttft_mean_ms, m.ttft_mean_low_ms, m.ttft_mean_high_ms),
        ('ttft_p50_ms', m.ttft_p50_ms, m.ttft_p50_low_ms, m.ttft_p50_high_ms),
        ('ttft_p95_ms', m.ttft_p95_ms, m.ttft_p95_low_ms, m.ttft_p95_high_ms),
        ('ttft_p99_ms', m.ttft_p99_ms, m.ttft_p99_low_ms, m.ttft_p99_high_ms),
        ('tps_mean', m.tps_mean, m.tps_mean_low, m.tps_mean_high),
        ('tps_p50', m.tps_p50, m.tps_p50_low, m.tps_p50_high)
    ) as f (measure, amount, low, high)
where
    (f.low is null) <> (f.high is null)
    or (f.amount is null and f.low is not null)
    or not coalesce(isfinite(f.high) and f.low <= f.amount * (1 + 1e-9) and f.amount <= f.high * (1 + 1e-9), true)
order by m.model, m.domain, m.window_name, f.measure
