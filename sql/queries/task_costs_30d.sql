-- mean cost in USD and output tokens per input token by task type and model over the last 30 days, successful live requests only
-- window: 30 days
select
    task_type,
    provider,
    model,
    is_simulated,
    count(*) as requests,
    count(*) - count(cost) as requests_without_cost,
    avg(cost) as mean_cost_usd,
    sum(tokens_output) filter (where tokens_input is not null)
    / nullif(sum(tokens_input) filter (where tokens_output is not null), 0) as output_input_ratio
from request_events
where success and created_at > $since and created_at <= $as_of
group by task_type, provider, model, is_simulated
order by task_type nulls last, model, provider nulls last, is_simulated
