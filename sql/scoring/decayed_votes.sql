-- one row per breadth, model, task_type, tenant_id, agent: the ratings of a cell, the recent ones counting more
-- breadth says whose: overall (a model's, all tasks), task (everyone's at a task; null: at none that was told),
-- tenant, agent, tenant_agent. effective_n is Kish's, (sum of weights)^2 / sum of squared weights: so many
-- ratings of equal weight would say as much. The sums are whole numbers, so that their order does not matter.
-- Each breadth hears the votes of its audience; heard_tenant and heard_agent are those parts of what everyone hears.
with summed as (
    select
        case
            when grouping(task_type) = 1 then 'overall'
            when grouping(tenant_id) = 0 and grouping(agent) = 0 then 'tenant_agent'
            when audience = 'everyone' and grouping(tenant_id) = 0 then 'heard_tenant'
            when audience = 'everyone' and grouping(agent) = 0 then 'heard_agent'
            when grouping(tenant_id) = 0 then 'tenant'
            when grouping(agent) = 0 then 'agent'
            else 'task'
        end as breadth,
        model,
        task_type,
        tenant_id,
        agent,
        count(*) as n,
        cast(sum(weight) as hugeint) as weights,
        cast(sum(cast(weight as hugeint) * weight) as hugeint) as squared_weights,
        cast(sum(cast(weight as hugeint) * rating_micros) as hugeint) as ratings,
        cast(sum(cast(weight as hugeint) * rating_micros * rating_micros) as hugeint) as squared_ratings
    from capped_votes
    group by
        grouping sets (
            (audience, model), (audience, model, task_type), (audience, model, task_type, tenant_id),
            (audience, model, task_type, agent), (audience, model, task_type, tenant_id, agent)
        )
    having
        (audience = 'everyone' and grouping(tenant_id) + grouping(agent) > 0)
        or (audience = 'agent' and grouping(tenant_id) = 1 and grouping(agent) = 0)
        or (audience = 'own' and grouping(tenant_id) = 0)
)

select
    *,
    cast(weights as double) * weights / squared_weights as effective_n,
    cast(ratings as double) / weights / 1e6 as mean,
    greatest(
        0.0,
        cast(squared_ratings as double) / weights / 1e12
        - (cast(ratings as double) / weights / 1e6) * (cast(ratings as double) / weights / 1e6)
    ) as spread
from summed
where
    breadth in ('overall', 'task')
    or (
        task_type is not null
        and (breadth in ('agent', 'heard_agent') or tenant_id is not null)
        and (breadth in ('tenant', 'heard_tenant') or agent is not null)
    )
order by breadth, model, task_type, tenant_id, agent
