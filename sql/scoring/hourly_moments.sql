-- one row per hour, is_simulated, source, provider_name, model_name, domain, task_type
-- Counts and exact sums of one day's requests that count: they add up to any longer time.
select
    hour,
    is_simulated,
    source,
    provider_name,
    model_name,
    domain,
    task_type,
    count(*) as requests,
    count(*) filter (where outcome = 'ok') as succeeded,
    count(*) filter (where outcome = 'incomplete') as incomplete,
    count(*) filter (where outcome = 'failed') as failed,
    count(correct) as graded,
    count(*) filter (where correct) as correct,
    count(latency_ticks) as latency_n,
    cast(coalesce(sum(latency_ticks), 0) as decimal(38, 0)) as latency_sum,
    cast(coalesce(sum(cast(latency_ticks as hugeint) * latency_ticks), 0) as decimal(38, 0)) as latency_squares,
    count(ttft_ticks) as ttft_n,
    cast(coalesce(sum(ttft_ticks), 0) as decimal(38, 0)) as ttft_sum,
    cast(coalesce(sum(cast(ttft_ticks as hugeint) * ttft_ticks), 0) as decimal(38, 0)) as ttft_squares,
    count(tps_ticks) as tps_n,
    cast(coalesce(sum(tps_ticks), 0) as decimal(38, 0)) as tps_sum,
    cast(coalesce(sum(cast(tps_ticks as hugeint) * tps_ticks), 0) as decimal(38, 0)) as tps_squares,
    count(inter_token_ticks) as inter_token_n,
    cast(coalesce(sum(inter_token_ticks), 0) as decimal(38, 0)) as inter_token_sum,
    cast(coalesce(sum(cast(inter_token_ticks as hugeint) * inter_token_ticks), 0) as decimal(38, 0)) as inter_token_squares,
    count(cost_nanos) as cost_n,
    cast(coalesce(sum(cost_nanos), 0) as decimal(38, 0)) as cost_sum,
    -- tokens of a request are known when both counts are
    count(input_tokens + output_tokens) as tokens_n,
    cast(coalesce(sum(input_tokens + output_tokens), 0) as decimal(38, 0)) as tokens_sum,
    count(output_tokens) filter (where outcome = 'ok') as output_n,
    cast(coalesce(sum(output_tokens) filter (where outcome = 'ok'), 0) as decimal(38, 0)) as output_sum,
    count(confidence_micros) as confidence_n,
    cast(coalesce(sum(confidence_micros), 0) as decimal(38, 0)) as confidence_sum,
    count(cache_hit) as cache_known,
    count(*) filter (where cache_hit) as cache_hits,
    max(created_at) as last_seen
from events
where left_out is null
group by hour, is_simulated, source, provider_name, model_name, domain, task_type
order by hour, is_simulated, source, provider_name, model_name, domain, task_type
