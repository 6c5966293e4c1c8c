select task_type, provider, model, is_simulated, count(*) as requests, sum((cost is null)::integer) as requests_without_cost,
    avg(cost) as mean_cost_usd,
    sum(case when tokens_input is not null and tokens_output is not null then tokens_output end)::double precision
    / nullif(sum(case when tokens_input is not null and tokens_output is not null then tokens_input end), 0) as output_input_ratio
from public.request_events
where success and created_at > %(as_of)s - interval '30 days' and created_at <= %(as_of)s
group by task_type, provider, model, is_simulated order by task_type nulls last, model, provider nulls last, is_simulated
