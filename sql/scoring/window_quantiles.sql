-- one row per window_name, model, domain, metric; domain null: all of them together
-- A quantile lies at rank q * (n - 1), between the buckets of the ranks beside it, each standing for its middle 2 g^b / (g + 1).
with counted as (
    select
        w.window_name,
        n.model,
        d.domain,
        b.metric,
        b.bucket,
        cast(sum(b.requests) as bigint) as requests
    from hourly_buckets as b
    inner join windows as w on b.hour between w.first_hour and w.last_hour
    inner join model_names as n on b.model_name = n.model_name and b.provider_name is not distinct from n.provider_name
    inner join event_domains as d
        on b.domain is not distinct from d.event_domain and b.task_type is not distinct from d.task_type
    where b.is_simulated = $is_simulated
    group by grouping sets ((w.window_name, n.model, d.domain, b.metric, b.bucket), (w.window_name, n.model, b.metric, b.bucket))
),

ranked as (
    select
        *,
        case when bucket = -32768 then 0.0 else 2 * pow(1.01 / 0.99, bucket) / (1.01 / 0.99 + 1) / 100 end as middle,
        cast(sum(requests) over upward as bigint) as ranks_to,
        cast(sum(requests) over upward as bigint) - requests as ranks_before,
        cast(sum(requests) over (partition by window_name, model, domain, metric) as bigint) as n
    from counted
    window upward as (partition by window_name, model, domain, metric order by bucket)
),

wanted as (
    select
        r.*,
        q.q,
        q.q * (r.n - 1) as position
    from ranked as r
    cross join (values (0.50), (0.95), (0.99)) as q (q)
),

found as (
    select
        window_name,
        model,
        domain,
        metric,
        n,
        q,
        max(middle) filter (where ranks_before <= floor(position) and floor(position) < ranks_to) as below,
        max(middle) filter (where ranks_before <= ceil(position) and ceil(position) < ranks_to) as above,
        cast(position - floor(position) as double) as share
    from wanted
    group by window_name, model, domain, metric, n, q, position
)

select
    window_name,
    model,
    domain,
    metric,
    n,
    max(below + share * (above - below)) filter (where q = 0.50) as p50,
    max(below + share * (above - below)) filter (where q = 0.95) as p95,
    max(below + share * (above - below)) filter (where q = 0.99) as p99
from found
group by window_name, model, domain, metric, n
order by window_name, model, domain, metric
