-- Aggregates by window say how sure they are of means and percentiles, and how far apart tokens come.
alter table model_metrics_by_window add column
latency_mean_low_ms real check (latency_mean_low_ms >= 0);  -- lower end of its 95 % interval, in ms
alter table model_metrics_by_window add column
latency_mean_high_ms real check (latency_mean_high_ms >= 0);
alter table model_metrics_by_window add column
latency_p50_low_ms real check (latency_p50_low_ms >= 0);  -- lower end of the 95 % interval of the median, in ms; null: too few
alter table model_metrics_by_window add column
latency_p50_high_ms real check (latency_p50_high_ms >= 0);
alter table model_metrics_by_window add column
latency_p95_low_ms real check (latency_p95_low_ms >= 0);  -- lower end of its 95 % interval, in ms; null: too few
alter table model_metrics_by_window add column
latency_p95_high_ms real check (latency_p95_high_ms >= 0);
alter table model_metrics_by_window add column
latency_p99_low_ms real check (latency_p99_low_ms >= 0);  -- lower end of its 95 % interval, in ms; null: too few
alter table model_metrics_by_window add column
latency_p99_high_ms real check (latency_p99_high_ms >= 0);
alter table model_metrics_by_window add column
ttft_mean_low_ms real check (ttft_mean_low_ms >= 0);  -- lower end of its 95 % interval, in ms
alter table model_metrics_by_window add column
ttft_mean_high_ms real check (ttft_mean_high_ms >= 0);
alter table model_metrics_by_window add column
ttft_p50_low_ms real check (ttft_p50_low_ms >= 0);  -- lower end of the 95 % interval of the median, in ms; null: too few
alter table model_metrics_by_window add column
ttft_p50_high_ms real check (ttft_p50_high_ms >= 0);
alter table model_metrics_by_window add column
ttft_p95_low_ms real check (ttft_p95_low_ms >= 0);  -- lower end of its 95 % interval, in ms; null: too few
alter table model_metrics_by_window add column
ttft_p95_high_ms real check (ttft_p95_high_ms >= 0);
alter table model_metrics_by_window add column
ttft_p99_low_ms real check (ttft_p99_low_ms >= 0);  -- lower end of its 95 % interval, in ms; null: too few
alter table model_metrics_by_window add column
ttft_p99_high_ms real check (ttft_p99_high_ms >= 0);
alter table model_metrics_by_window add column
tps_mean_low real check (tps_mean_low >= 0);  -- lower end of its 95 % interval
alter table model_metrics_by_window add column
tps_mean_high real check (tps_mean_high >= 0);
alter table model_metrics_by_window add column
tps_p50_low real check (tps_p50_low >= 0);  -- lower end of its 95 % interval; null: too few
alter table model_metrics_by_window add column
tps_p50_high real check (tps_p50_high >= 0);
alter table model_metrics_by_window add column
inter_token_n integer not null default 0 check (inter_token_n >= 0);
alter table model_metrics_by_window add column
inter_token_mean_ms real check (inter_token_mean_ms >= 0);  -- mean of their median gaps, in ms
alter table model_metrics_by_window add column
inter_token_variance_ms2 real check (inter_token_variance_ms2 >= 0);  -- its variance, in ms squared
alter table model_metrics_by_window add column
inter_token_p50_ms real check (inter_token_p50_ms >= 0);  -- its median, in ms (to 1 %)
alter table model_metrics_by_window add column
inter_token_p95_ms real check (inter_token_p95_ms >= 0);  -- its 95th percentile, in ms (to 1 %)
alter table model_metrics_by_window add column
inter_token_p99_ms real check (inter_token_p99_ms >= 0);  -- its 99th percentile, in ms (to 1 %)
