-- one row per model, task_type, tenant_id, agent: its quality shrunk to broader evidence (task_type null: at all tasks)
-- A chain of precisions, from broad to narrow: what the base priority foretells; the model's own record at other tasks; graded
-- answers in the task's domains; everyone's ratings; the tenant's; the agent's. What is narrower is left out of what it is
-- shrunk to, so that nothing counts twice. Everyone's rows are of every model with any evidence that everyone hears
-- (capped_votes.sql), rated at the task or not; a tenant's and an agent's only of what they rated, though nobody else may hear
-- of it. n is an exact count of the ratings of that row alone, learned_n what all of it is worth in ratings, beyond the base
-- priority; own_share how much of the precision is the row's own ratings, basis the kind of evidence with the largest share.
with levels as (
    select distinct task_type, level from rated_cells
),

graded_levels as (
    select distinct task_type, level from graded_cells
),

evident as (
    select model from rated_cells
    union
    select model from graded_cells
),

tasks as (
    select coalesce(v.task_type, g.task_type) as task_type, coalesce(v.level, g.level) as level
    from (select * from levels where task_type is not null) as v
    full outer join (select * from graded_levels where task_type is not null) as g on v.task_type = g.task_type
),

whole as (
    select coalesce(
        (
            select cast(sum(ratings) as double) / sum(weights) / 1e6
            from decayed_votes
            where breadth = 'overall'
        ),
        (select max(level) from graded_levels where task_type is null)
    ) as level
),

-- a model's other tasks say as much as all of them where it was not rated at this one
records as (
    select distinct model, model_precision, model_deviation from rated_cells
),

told as (
    select e.model, t.task_type, t.level, 'task' as breadth, true as is_told
    from evident as e
    cross join tasks as t
    union all
    select e.model, cast(null as varchar) as task_type, w.level, 'overall' as breadth, true as is_told
    from evident as e
    cross join whole as w
),

-- what a tenant or an agent rated and everyone is told nothing of: its row leans on what the base priority foretells
untold as (
    select o.model, o.task_type, coalesce(t.level, w.level, 0.5) as level, 'task' as breadth, false as is_told
    from (
        select distinct model, task_type from decayed_votes
        where breadth in ('tenant', 'agent', 'tenant_agent')
    ) as o
    cross join whole as w
    left join tasks as t on o.task_type = t.task_type
    left join told as c on o.model = c.model and o.task_type = c.task_type
    where c.model is null
),

cells as (
    select * from told
    union all
    select * from untold
),

founded as (
    select
        c.*,
        s.noise,
        s.of_groups,
        s.slope * coalesce(p.deviation, 0.0) as foretold,
        s.of_models,
        case when c.breadth = 'task' then s.of_tasks else 0.0 end as of_tasks,
        case
            when c.breadth = 'overall' then 0.0
            when r.model is not null then r.others_precision
            else coalesce(m.model_precision, 0.0)
        end as record_precision,
        coalesce(case when r.model is not null then r.others_deviation else m.model_deviation end, 0.0) as record_deviation,
        case when g.model is not null then 1 / (g.variance + s.of_benchmarks) else 0.0 end as graded_precision,
        coalesce(g.deviation, 0.0) as graded_deviation,
        coalesce(g.graded, 0) as graded
    from cells as c
    cross join evidence_spread as s
    left join base_priorities as p on c.model = p.model
    left join rated_cells as r on c.breadth = 'task' and c.model = r.model and c.task_type = r.task_type
    left join records as m on c.model = m.model
    left join graded_cells as g on c.model = g.model and c.task_type is not distinct from g.task_type
),

-- everything but the ratings of the cell itself, as a precision and a mean
broad as (
    select
        *,
        1 / (1 / (1 / of_models + record_precision) + of_tasks) as level_precision,
        (foretold / of_models + record_precision * record_deviation) / (1 / of_models + record_precision) as level_deviation,
        record_precision / (1 / of_models + record_precision) as record_share
    from founded
),

priors as (
    select
        *,
        level_precision + graded_precision as broad_precision,
        level + (level_precision * level_deviation + graded_precision * graded_deviation)
        / (level_precision + graded_precision) as broad_mean,
        1 / (of_models + of_tasks) as base_precision
    from broad
),

rated_or_not as (
    select
        p.*,
        coalesce(d.n, 0) as n,
        coalesce(d.weights, 0) as weights,
        coalesce(d.squared_weights, 0) as squared_weights,
        coalesce(d.ratings, 0) as ratings,
        -- a model's whole record counts by its tasks, not by its ratings, which may nearly all be of one task
        case
            when p.breadth = 'overall' then coalesce(m.model_precision, 0.0)
            else coalesce(d.effective_n / p.noise, 0.0)
        end as own_precision,
        case
            when p.breadth = 'overall' then p.level + coalesce(m.model_deviation, 0.0)
            else coalesce(d.mean, p.level)
        end as own_mean
    from priors as p
    left join decayed_votes as d
        on p.breadth = d.breadth and p.model = d.model and p.task_type is not distinct from d.task_type
    left join records as m on p.model = m.model
),

-- A cell may be a speciality, 0.25 above or below what anything broader says, give or take 0.1 (specialities.sql): the likelier
-- that is, given its ratings, the further the broader evidence gives way to it, and the less that counts.
surprising as (
    select
        r.model,
        r.task_type,
        r.own_mean - r.broad_mean as surprise,
        1 / r.own_precision + 1 / r.broad_precision as usual_variance,
        s.above,
        s.below
    from rated_or_not as r
    cross join specialities as s
    where r.own_precision > 0 and r.breadth = 'task'
),

likely as (
    select
        model,
        task_type,
        (1 - above - below) * exp(-0.5 * surprise * surprise / usual_variance) / sqrt(usual_variance) as like_most,
        above * exp(-0.5 * pow(surprise - 0.25, 2) / (usual_variance + 0.01)) / sqrt(usual_variance + 0.01) as far_above,
        below * exp(-0.5 * pow(surprise + 0.25, 2) / (usual_variance + 0.01)) / sqrt(usual_variance + 0.01) as far_below
    from surprising
),

doubted as (
    select
        model,
        task_type,
        (far_above + far_below) / (like_most + far_above + far_below) as is_special,
        0.25 * (far_above - far_below) / (like_most + far_above + far_below) as moved
    from likely
),

everyone as (
    select
        r.* replace (
            case
                when d.model is null then r.broad_precision
                else 1 / (1 / r.broad_precision + d.is_special * 0.0725 - d.moved * d.moved)
            end as broad_precision,
            r.broad_mean + coalesce(d.moved, 0.0) as broad_mean
        )
    from rated_or_not as r
    left join doubted as d on r.breadth = 'task' and r.model = d.model and r.task_type = d.task_type
),

-- the ratings of a group, and those of everyone (without what everyone hears of it) and of its tenant without them
grouped as (
    select
        e.*,
        d.breadth as group_breadth,
        d.tenant_id,
        d.agent,
        d.n as group_n,
        d.effective_n / e.noise as group_precision,
        d.mean as group_mean,
        cast(e.weights - coalesce(h.weights, 0) as double) as other_weights,
        cast(e.squared_weights - coalesce(h.squared_weights, 0) as double) as other_squares,
        cast(e.ratings - coalesce(h.ratings, 0) as double) / 1e6 as other_ratings,
        cast(coalesce(t.weights - d.weights, 0) as double) as colleague_weights,
        cast(coalesce(t.squared_weights - d.squared_weights, 0) as double) as colleague_squares,
        cast(coalesce(t.ratings - d.ratings, 0) as double) / 1e6 as colleague_ratings
    from everyone as e
    inner join decayed_votes as d
        on
            e.breadth = 'task' and e.model = d.model and e.task_type = d.task_type
            and d.breadth in ('tenant', 'agent', 'tenant_agent')
    left join decayed_votes as t
        on
            d.breadth = 'tenant_agent' and t.breadth = 'tenant' and d.model = t.model
            and d.task_type = t.task_type and d.tenant_id = t.tenant_id
    left join decayed_votes as h
        on
            d.model = h.model and d.task_type = h.task_type
            and (
                (d.breadth = 'agent' and h.breadth = 'heard_agent' and d.agent = h.agent)
                or (d.breadth <> 'agent' and h.breadth = 'heard_tenant' and d.tenant_id = h.tenant_id)
            )
),

weighed as (
    select
        *,
        coalesce(other_weights * other_weights / nullif(other_squares, 0), 0.0) / noise as other_precision,
        coalesce(other_ratings / nullif(other_weights, 0), 0.0) as other_mean,
        coalesce(colleague_weights * colleague_weights / nullif(colleague_squares, 0), 0.0) / noise as colleague_precision,
        coalesce(colleague_ratings / nullif(colleague_weights, 0), 0.0) as colleague_mean
    from grouped
),

about_others as (
    select
        *,
        (broad_precision * broad_mean + other_precision * other_mean) / (broad_precision + other_precision) as outer_mean,
        1 / (1 / (broad_precision + other_precision) + of_groups) as outer_precision
    from weighed
),

about_colleagues as (
    select
        *,
        case
            when group_breadth = 'tenant_agent'
                then
                    (outer_precision * outer_mean + colleague_precision * colleague_mean)
                    / (outer_precision + colleague_precision)
            else outer_mean
        end as parent_mean,
        case
            when group_breadth = 'tenant_agent' then 1 / (1 / (outer_precision + colleague_precision) + of_groups)
            else outer_precision
        end as parent_precision
    from about_others
),

estimated as (
    select
        model,
        task_type,
        cast(null as varchar) as tenant_id,
        cast(null as varchar) as agent,
        breadth,
        n,
        graded,
        noise,
        base_precision,
        own_precision,
        own_precision + broad_precision as precision,
        (own_precision * own_mean + broad_precision * broad_mean) / (own_precision + broad_precision) as mean,
        case breadth when 'overall' then 'overall' else 'ratings' end as own_basis,
        case
            when graded_precision > level_precision then 'domain_benchmarks'
            when record_share > 0.5 then 'overall'
            else 'priority'
        end as broad_basis
    from everyone
    where is_told
    union all
    select
        model,
        task_type,
        tenant_id,
        agent,
        group_breadth as breadth,
        group_n as n,
        0 as graded,
        noise,
        1 / (1 / base_precision + case group_breadth when 'tenant_agent' then 2 else 1 end * of_groups) as base_precision,
        group_precision as own_precision,
        group_precision + parent_precision as precision,
        (group_precision * group_mean + parent_precision * parent_mean) / (group_precision + parent_precision) as mean,
        case group_breadth when 'tenant' then 'tenant_ratings' else 'agent_ratings' end as own_basis,
        case
            when colleague_precision > outer_precision then 'tenant_ratings'
            when other_precision > broad_precision then 'ratings'
            when graded_precision > level_precision then 'domain_benchmarks'
            when record_share > 0.5 then 'overall'
            else 'priority'
        end as broad_basis
    from about_colleagues
)

select
    model,
    task_type,
    tenant_id,
    agent,
    n,
    graded,
    least(1.0, greatest(0.0, mean)) as learned_quality,
    1 / sqrt(precision) as learned_se,
    greatest(1e-9, noise * (precision - base_precision)) as learned_n,
    own_precision / precision as own_share,
    case when own_precision * 2 >= precision then own_basis else broad_basis end as basis
from estimated
order by model, task_type, tenant_id, agent
