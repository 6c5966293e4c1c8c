-- one row per window_name, model, domain; domain null: all of them together
select
    w.window_name,
    n.model,
    d.domain,
    cast(sum(m.requests) as bigint) as requests,
    cast(sum(m.succeeded) as bigint) as succeeded,
    cast(sum(m.incomplete) as bigint) as incomplete,
    cast(sum(m.failed) as bigint) as failed,
    cast(sum(m.graded) as bigint) as graded,
    cast(sum(m.correct) as bigint) as correct,
    cast(sum(m.latency_n) as bigint) as latency_n,
    sum(m.latency_sum) as latency_sum,
    sum(m.latency_squares) as latency_squares,
    cast(sum(m.ttft_n) as bigint) as ttft_n,
    sum(m.ttft_sum) as ttft_sum,
    sum(m.ttft_squares) as ttft_squares,
    cast(sum(m.tps_n) as bigint) as tps_n,
    sum(m.tps_sum) as tps_sum,
    sum(m.tps_squares) as tps_squares,
    cast(sum(m.inter_token_n) as bigint) as inter_token_n,
    sum(m.inter_token_sum) as inter_token_sum,
    sum(m.inter_token_squares) as inter_token_squares,
    cast(sum(m.cost_n) as bigint) as cost_n,
    sum(m.cost_sum) as cost_sum,
    cast(sum(m.tokens_n) as bigint) as tokens_n,
    sum(m.tokens_sum) as tokens_sum,
    cast(sum(m.output_n) as bigint) as output_n,
    sum(m.output_sum) as output_sum,
    cast(sum(m.confidence_n) as bigint) as confidence_n,
    sum(m.confidence_sum) as confidence_sum,
    max(m.last_seen) as last_seen
from hourly_moments as m
inner join windows as w on m.hour between w.first_hour and w.last_hour
inner join model_names as n on m.model_name = n.model_name and m.provider_name is not distinct from n.provider_name
inner join event_domains as d on m.domain is not distinct from d.event_domain and m.task_type is not distinct from d.task_type
where m.is_simulated = $is_simulated
group by grouping sets ((w.window_name, n.model, d.domain), (w.window_name, n.model))
order by w.window_name, n.model, d.domain
