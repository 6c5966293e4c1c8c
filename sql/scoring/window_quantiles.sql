-- one row per window_name, model, domain, metric; domain null: all of them together
-- A quantile lies at rank q * (n - 1), between the buckets of the ranks beside it, each standing for its middle 2 g^b / (g + 1).
-- Its interval (95 %) lies between two order statistics, whatever the distribution: the normal approximation to the binomial
-- (Conover, Practical Nonparametric Statistics, section 3.2). It is null where a sample of n has no such ranks.
-- skewness is the third standardized moment of the middles; null below three values, or where all are in one bucket.
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
        q.q * (r.n - 1) as position,
        floor(q.q * r.n - 1.959963984540054 * sqrt(r.n * q.q * (1 - q.q))) as rank_low,
        ceil(q.q * r.n + 1.959963984540054 * sqrt(r.n * q.q * (1 - q.q))) + 1 as rank_high
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
        cast(position - floor(position) as double) as share,
        case
            when rank_low >= 1 and rank_high <= n then max(middle) filter (where ranks_before < rank_low and rank_low <= ranks_to)
        end as low,
        case
            when
                rank_low >= 1 and rank_high <= n
                then max(middle) filter (where ranks_before < rank_high and rank_high <= ranks_to)
        end as high
    from wanted
    group by window_name, model, domain, metric, n, q, position, rank_low, rank_high
),

quantiles as (
    select
        window_name,
        model,
        domain,
        metric,
        n,
        max(below + share * (above - below)) filter (where q = 0.50) as p50,
        max(low) filter (where q = 0.50) as p50_low,
        max(high) filter (where q = 0.50) as p50_high,
        max(below + share * (above - below)) filter (where q = 0.95) as p95,
        max(low) filter (where q = 0.95) as p95_low,
        max(high) filter (where q = 0.95) as p95_high,
        max(below + share * (above - below)) filter (where q = 0.99) as p99,
        max(low) filter (where q = 0.99) as p99_low,
        max(high) filter (where q = 0.99) as p99_high
    from found
    group by window_name, model, domain, metric, n
),

-- floating point sums depend on the order of adding: it is that of the buckets
centred as (
    select
        r.*,
        r.middle - m.mean as deviation
    from ranked as r
    inner join (
        select window_name, model, domain, metric, sum(requests * middle order by bucket) / sum(requests) as mean
        from ranked
        group by window_name, model, domain, metric
    ) as m
        on
            r.window_name = m.window_name and r.model = m.model and r.domain is not distinct from m.domain
            and r.metric = m.metric
),

shaped as (
    select
        window_name,
        model,
        domain,
        metric,
        case
            when n >= 3 and min(bucket) < max(bucket)
                then
                    sum(requests * deviation * deviation * deviation order by bucket) / n
                    / pow(sum(requests * deviation * deviation order by bucket) / n, 1.5)
        end as skewness
    from centred
    group by window_name, model, domain, metric, n
)

select
    q.*,
    s.skewness
from quantiles as q
inner join shaped as s
    on
        q.window_name = s.window_name and q.model = s.model and q.domain is not distinct from s.domain
        and q.metric = s.metric
order by q.window_name, q.model, q.domain, q.metric
