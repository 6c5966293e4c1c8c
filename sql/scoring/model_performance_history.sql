-- one row per model, domain, date (UTC); domain null: all of them together
-- A rating names no domain: it counts in the row of all of them, on the day it was given, which may have no request.
-- Each day is made of its own rows alone, so that one that did not change need not be computed again.
with days as (
    select
        n.model,
        d.domain,
        m.date,
        cast(sum(m.requests) as bigint) as requests,
        sum(m.correct) / nullif(sum(m.graded), 0) as accuracy,
        sum(m.failed + m.incomplete) / sum(m.requests) as failure_rate,
        cast(sum(m.latency_sum) as double) / nullif(sum(m.latency_n), 0) / 100 as latency_ms,
        cast(sum(m.ttft_sum) as double) / nullif(sum(m.ttft_n), 0) / 100 as ttft_ms,
        cast(sum(m.tps_sum) as double) / nullif(sum(m.tps_n), 0) / 100 as tps,
        cast(sum(m.cost_sum) as double) / nullif(sum(m.cost_n), 0) / 1e9 as cost_per_query,
        cast(sum(m.tokens_sum) as double) / nullif(sum(m.tokens_n), 0) as tokens_per_query
    from daily_totals as m
    inner join model_names as n on m.model_name = n.model_name and m.provider_name is not distinct from n.provider_name
    inner join event_domains as d on m.domain is not distinct from d.event_domain and m.task_type is not distinct from d.task_type
    where m.is_simulated = $is_simulated
    group by grouping sets ((n.model, d.domain, m.date), (n.model, m.date))
),

rated as (
    select
        model,
        cast(null as varchar) as domain,
        cast(created_at as date) as date,
        count(*) as ratings,
        least(1.0, cast(sum(rating_micros) as double) / count(*) / 1e6) as avg_rating
    from votes
    group by model, cast(created_at as date)
)

select
    coalesce(d.model, r.model) as model,
    d.domain,
    coalesce(d.date, r.date) as date,
    cast($is_simulated as boolean) as is_simulated,
    coalesce(d.requests, 0) as usage_count,
    d.accuracy,
    d.failure_rate,
    d.latency_ms,
    d.ttft_ms,
    d.tps,
    d.cost_per_query,
    d.tokens_per_query,
    r.avg_rating,
    case when d.domain is null then coalesce(r.ratings, 0) end as rating_count
from days as d
full outer join rated as r on d.model = r.model and d.domain is not distinct from r.domain and d.date = r.date
order by model, d.domain, date
