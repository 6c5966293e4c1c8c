-- one row per model, task_type, tenant_id, agent; task_type null: all of them, tenant_id and agent null: everyone
-- Plain means over all time, as they were given; learned_experience holds the shrunk and decaying ones.
-- Ratings are what people and agents said, grades what the gold questions of the task's domains showed (of everyone only).
-- The interval of a mean rating (95 %) is Wilson's, which also bounds the mean of anything between 0 and 1.
with rated as (
    select
        model,
        task_type,
        tenant_id,
        agent,
        count(*) as rating_n,
        cast(sum(rating_micros) as hugeint) as rating_sum,
        cast(sum(cast(rating_micros as hugeint) * rating_micros) as hugeint) as rating_squares,
        max(created_at) as last_rating
    from capped_votes
    group by
        grouping sets (
            (audience, model), (audience, model, task_type), (audience, model, agent), (audience, model, task_type, agent),
            (audience, model, task_type, tenant_id), (audience, model, task_type, tenant_id, agent)
        )
    -- the set without a column is "all of them"; within the others a missing value is nobody in particular
    having
        audience
        = case when grouping(tenant_id) = 0 then 'own' when grouping(agent) = 0 then 'agent' else 'everyone' end
        and (grouping(task_type) = 1 or task_type is not null)
        and (grouping(agent) = 1 or agent is not null)
        and (grouping(tenant_id) = 1 or tenant_id is not null)
),

marked as (
    select m.model, t.task_type, m.graded, m.correct, m.last_updated
    from window_metrics as m
    inner join (select distinct task_type, domain from task_domains) as t on m.domain = t.domain
    where m.window_name = 'all'
    union all
    select m.model, cast(null as varchar) as task_type, m.graded, m.correct, m.last_updated
    from window_metrics as m
    where m.window_name = 'all' and m.domain is null
),

graded as (
    select
        model,
        task_type,
        cast(null as varchar) as tenant_id,
        cast(null as varchar) as agent,
        cast(sum(graded) as bigint) as graded,
        cast(sum(correct) as bigint) as correct,
        max(last_updated) as last_graded
    from marked
    group by model, task_type
),

bounded as (
    select
        *,
        least(1.0, cast(rating_sum as double) / rating_n / 1e6) as rating_mean,
        1.959963984540054 as z,
        (rating_mean + z * z / (2 * rating_n)) / (1 + z * z / rating_n) as middle,
        z * sqrt(rating_mean * (1 - rating_mean) / rating_n + z * z / (4.0 * rating_n * rating_n))
        / (1 + z * z / rating_n) as reach
    from rated
)

select
    coalesce(r.model, g.model) as model,
    coalesce(r.task_type, g.task_type) as task_type,
    r.tenant_id,
    coalesce(r.agent, g.agent) as agent,
    coalesce(r.rating_n, 0) as rating_n,
    r.rating_mean,
    -- greatest and least ignore nulls: an interval of nothing must stay null
    case when r.rating_n > 0 then greatest(0.0, r.middle - r.reach) end as rating_mean_low,
    case when r.rating_n > 0 then least(1.0, r.middle + r.reach) end as rating_mean_high,
    cast(r.rating_n * r.rating_squares - r.rating_sum * r.rating_sum as double)
    / nullif(r.rating_n * (r.rating_n - 1), 0) / 1e12 as rating_variance,
    coalesce(g.graded, 0) as graded,
    coalesce(g.correct, 0) as correct,
    g.correct / nullif(g.graded, 0) as accuracy,
    greatest(r.last_rating, g.last_graded) as last_seen
from bounded as r
full outer join graded as g
    on
        r.model = g.model and r.task_type is not distinct from g.task_type
        and r.tenant_id is not distinct from g.tenant_id and r.agent is not distinct from g.agent
where coalesce(r.rating_n, 0) + coalesce(g.graded, 0) > 0
order by model, task_type, r.tenant_id, agent
