-- one row per date, is_simulated, provider_name, model_name, domain, task_type
-- Counts and exact sums of the requests that as_of has reached: they add up over files, and can be taken away again.
select
    cast(hour as date) as date,
    is_simulated,
    provider_name,
    model_name,
    domain,
    task_type,
    count(*) as requests,
    count(*) filter (where outcome = 'incomplete') as incomplete,
    count(*) filter (where outcome = 'failed') as failed,
    count(correct) as graded,
    count(*) filter (where correct) as correct,
    count(latency_ticks) as latency_n,
    cast(coalesce(sum(latency_ticks), 0) as decimal(38, 0)) as latency_sum,
    count(ttft_ticks) as ttft_n,
    cast(coalesce(sum(ttft_ticks), 0) as decimal(38, 0)) as ttft_sum,
    count(tps_ticks) as tps_n,
    cast(coalesce(sum(tps_ticks), 0) as decimal(38, 0)) as tps_sum,
    count(cost_nanos) as cost_n,
    cast(coalesce(sum(cost_nanos), 0) as decimal(38, 0)) as cost_sum,
    -- tokens of a request are known when both counts are
    count(input_tokens + output_tokens) as tokens_n,
    cast(coalesce(sum(input_tokens + output_tokens), 0) as decimal(38, 0)) as tokens_sum
from events
where left_out is null and hour <= date_trunc('hour', cast($as_of as timestamptz))
group by cast(hour as date), is_simulated, provider_name, model_name, domain, task_type
order by cast(hour as date), is_simulated, provider_name, model_name, domain, task_type
