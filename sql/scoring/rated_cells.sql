-- one row per model, task_type with ratings: how far it lies from the task's level, and what the model's other tasks say
-- level is the task's mean rating once the models' own levels are taken out (one step of backfitting); precision is
-- 1 / (noise / n + 0.01): ratings of one task say little of another, however many. others_* leave the cell out.
-- Sums are of whole numbers: a rating counts in millionths of it times millionths of a vote, so that the oldest vote, which
-- weighs one millionth, still says what it said.
with cells as (
    select d.model, d.task_type, d.n, d.weights, d.ratings, d.effective_n, d.mean, r.noise
    from decayed_votes as d
    cross join rating_noise as r
    where d.breadth = 'task'
),

first_levels as (
    select
        task_type,
        cast(sum(ratings) as double) / 1e6 / sum(weights) as level
    from cells
    group by task_type
),

models as (
    select
        c.model,
        cast(sum(cast(round((c.mean - f.level) * 1e6 * c.weights) as hugeint)) as double) / 1e6 / sum(c.weights) as deviation
    from cells as c
    inner join first_levels as f on c.task_type is not distinct from f.task_type
    group by c.model
),

levels as (
    select
        c.task_type,
        cast(sum(cast(round((c.mean - m.deviation) * 1e6 * c.weights) as hugeint)) as double) / 1e6 / sum(c.weights) as level
    from cells as c
    inner join models as m on c.model = m.model
    group by c.task_type
),

placed as (
    select
        c.*,
        v.level,
        c.mean - v.level as deviation,
        1 / (c.noise / c.effective_n + 0.01) as precision
    from cells as c
    inner join levels as v on c.task_type is not distinct from v.task_type
),

counted as (
    select
        *,
        cast(round(precision * 1e9) as hugeint) as precision_nanos,
        cast(round(precision * deviation * 1e9) as hugeint) as deviation_nanos
    from placed
),

totals as (
    select
        model,
        cast(sum(precision_nanos) as hugeint) as precision_nanos,
        cast(sum(deviation_nanos) as hugeint) as deviation_nanos,
        count(*) as cells
    from counted
    group by model
)

select
    c.model,
    c.task_type,
    c.n,
    c.effective_n,
    c.mean,
    c.level,
    c.deviation,
    c.precision,
    cast(t.precision_nanos as double) / 1e9 as model_precision,
    cast(t.deviation_nanos as double) / t.precision_nanos as model_deviation,
    case when t.cells > 1 then cast(t.precision_nanos - c.precision_nanos as double) / 1e9 else 0.0 end as others_precision,
    case
        when t.cells > 1
            then cast(t.deviation_nanos - c.deviation_nanos as double) / (t.precision_nanos - c.precision_nanos)
    end as others_deviation
from counted as c
inner join totals as t on c.model = t.model
order by c.model, c.task_type
