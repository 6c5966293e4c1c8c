-- one row per model, task_type with graded benchmark answers (null: all of them): how far its accuracy lies from the rest's
-- accuracy is shrunk by one right and one wrong answer, so that few answers are never taken for certain
with marked as (
    select
        model,
        task_type,
        graded,
        (correct + 1) / (graded + 2) as accuracy
    from experience
    where graded > 0 and agent is null and tenant_id is null
),

levels as (
    select task_type, cast(sum(cast(round(accuracy * 1e9) as hugeint)) as double) / count(*) / 1e9 as level
    from marked
    group by task_type
)

select
    m.model,
    m.task_type,
    m.graded,
    v.level,
    m.accuracy - v.level as deviation,
    m.accuracy * (1 - m.accuracy) / m.graded as variance
from marked as m
inner join levels as v on m.task_type is not distinct from v.task_type
order by m.model, m.task_type
