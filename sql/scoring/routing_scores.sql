-- one row per model, scope (overall, task, domain), task_type, tenant_id, agent: what the lookup holds in memory
-- task_type is a task type or, in scope domain, a domain's name; tenant_id and agent null: everyone. Quality is 0..1:
--   task     the mean rating, else the share of right answers to the gold questions of the task's domains
--   domain   the share of right answers
--   overall  ratings and right answers together
-- Its interval is Wilson's, which also bounds the mean of anything between 0 and 1; quality_se is that of the interval.
-- Beside it the learned ones stand, shrunk and decaying (learned_experience); where nobody rated or graded a model at a task,
-- only these. learned_basis is what most of it rests on, own_share how much rests on the row's own ratings.
-- Rows of scope overall carry the operational figures of the youngest of 7, 30 and 90 days that has any request:
-- window_days says which, requests how many it had (usage_count is that of all time).
with everyone as (
    select model, cast(null as varchar) as task_type, cast(null as varchar) as agent, usage_count, last_updated as last_seen
    from window_metrics
    where window_name = 'all' and domain is null
),

overall as (
    select
        coalesce(e.model, u.model) as model,
        'overall' as scope,
        cast(null as varchar) as task_type,
        cast(null as varchar) as tenant_id,
        e.agent,
        (coalesce(e.rating_mean * e.rating_n, 0) + coalesce(e.correct, 0)) / nullif(e.rating_n + e.graded, 0) as quality,
        coalesce(e.rating_n + e.graded, 0) as quality_n,
        case
            when e.rating_n > 0 and e.graded > 0 then 'mixed'
            when e.rating_n > 0 then 'feedback'
            when e.graded > 0 then 'benchmark'
        end as evidence,
        case when e.agent is null then coalesce(u.usage_count, 0) end as usage_count,
        greatest(e.last_seen, u.last_seen) as last_seen
    from (select * from experience where task_type is null) as e
    full outer join everyone as u on e.model = u.model and e.agent is not distinct from u.agent
),

tasks as (
    select
        model,
        'task' as scope,
        task_type,
        tenant_id,
        agent,
        case when rating_n > 0 then rating_mean else accuracy end as quality,
        case when rating_n > 0 then rating_n else graded end as quality_n,
        case when rating_n > 0 then 'feedback' else 'benchmark' end as evidence,
        cast(null as bigint) as usage_count,
        last_seen
    from experience
    where task_type is not null
),

domains_of_all_time as (
    select
        model,
        'domain' as scope,
        domain as task_type,
        cast(null as varchar) as tenant_id,
        cast(null as varchar) as agent,
        accuracy as quality,
        graded as quality_n,
        'benchmark' as evidence,
        usage_count,
        last_updated as last_seen
    from window_metrics
    where window_name = 'all' and graded > 0 and domain is not null
),

scored as (
    select * from overall
    union all
    select * from tasks
    union all
    select * from domains_of_all_time
),

-- a sum of millionths divided may come out a hair above 1
scored_with_n as (
    select * replace (case when quality is not null then least(1.0, quality) end as quality, nullif(quality_n, 0) as quality_n)
    from scored
),

wilson as (
    select
        *,
        1.959963984540054 as z,
        (quality + z * z / (2 * quality_n)) / (1 + z * z / quality_n) as middle,
        z * sqrt(quality * (1 - quality) / quality_n + z * z / (4.0 * quality_n * quality_n)) / (1 + z * z / quality_n) as reach
    from scored_with_n
),

operational as (
    select
        *,
        case window_name when '7d' then 7 when '30d' then 30 else 90 end as window_days
    from window_metrics
    where domain is null and window_name in ('7d', '30d', '90d')
    qualify row_number() over (partition by model order by window_days) = 1
),

learned as (
    select
        *,
        case when task_type is null then 'overall' else 'task' end as scope,
        1.959963984540054 as z
    from learned_experience
)

select
    coalesce(w.model, l.model) as model,
    coalesce(w.scope, l.scope) as scope,
    coalesce(w.task_type, l.task_type) as task_type,
    coalesce(w.agent, l.agent) as agent,
    coalesce(w.tenant_id, l.tenant_id) as tenant_id,
    w.quality,
    coalesce(w.quality_n, 0) as quality_n,
    w.reach / w.z as quality_se,
    -- greatest and least ignore nulls: an interval of nothing must stay null
    case when w.quality_n > 0 then greatest(0.0, w.middle - w.reach) end as quality_low,
    case when w.quality_n > 0 then least(1.0, w.middle + w.reach) end as quality_high,
    w.evidence,
    l.learned_quality,
    l.learned_se,
    l.learned_n,
    case when l.learned_se is not null then greatest(0.0, l.learned_quality - l.z * l.learned_se) end as learned_low,
    case when l.learned_se is not null then least(1.0, l.learned_quality + l.z * l.learned_se) end as learned_high,
    l.basis as learned_basis,
    l.own_share,
    w.usage_count,
    o.window_days,
    o.usage_count as requests,
    o.failure_rate,
    o.latency_p50_ms,
    o.latency_p95_ms,
    o.ttft_p50_ms,
    o.ttft_p95_ms,
    o.tps_mean,
    o.cost_per_query,
    w.last_seen
from wilson as w
full outer join learned as l
    on
        w.model = l.model and w.scope = l.scope and w.task_type is not distinct from l.task_type
        and w.tenant_id is not distinct from l.tenant_id and w.agent is not distinct from l.agent
left join operational as o on w.model = o.model and w.scope = 'overall' and w.agent is null
order by model, scope, task_type, tenant_id, agent
