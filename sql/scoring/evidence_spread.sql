-- one row per snapshot: how far each kind of evidence lies from what it is taken to predict, as a variance (empirical Bayes)
-- noise: of one rating; slope: what a point of base priority is worth in quality; of_models: of models about that;
-- of_tasks: of a model's tasks about its own level; of_benchmarks: of graded answers about ratings; of_groups: of a
-- tenant's or an agent's ratings about everyone else's. Each is by moments, E[d^2] less what sampling alone makes, every
-- pair weighing by the square of its precision; four pairs of a usual size stand in where there is little to tell by.
with rated as (
    select
        c.*,
        r.noise,
        r.noise / c.effective_n as sampling,
        coalesce(p.deviation, 0.0) as priority
    from rated_cells as c
    cross join rating_noise as r
    left join base_priorities as p on c.model = p.model
),

models as (
    select distinct model, model_deviation, 1 / model_precision as sampling, priority from rated
),

sloped as (
    select
        greatest(0.0, least(1.0, (
            coalesce(sum(cast(round(1e12 * priority * model_deviation * 0.02 / (sampling + 0.02)) as hugeint)), 0) / 1e12 + 0.05
        ) / (
            coalesce(sum(cast(round(1e12 * priority * priority * 0.02 / (sampling + 0.02)) as hugeint)), 0) / 1e12 + 0.05
        ))) as slope
    from models
),

pairs as (
    select
        'of_models' as kind,
        0.0225 as usual,
        pow(m.model_deviation - s.slope * m.priority, 2) as squared,
        m.sampling
    from models as m
    cross join sloped as s
    union all
    select
        'of_benchmarks' as kind,
        0.02 as usual,
        pow(c.deviation - g.deviation, 2) as squared,
        c.sampling + g.variance as sampling
    from rated as c
    inner join graded_cells as g on c.model = g.model and c.task_type = g.task_type
    union all
    select
        'of_groups' as kind,
        0.005 as usual,
        pow(d.mean - cast(e.ratings - d.ratings as double) / (e.weights - d.weights) / 1e6, 2) as squared,
        r.noise / d.effective_n
        + r.noise * (e.squared_weights - d.squared_weights) / pow(cast(e.weights - d.weights as double), 2) as sampling
    from decayed_votes as d
    inner join decayed_votes as e on d.model = e.model and d.task_type = e.task_type and e.breadth = 'task'
    cross join rating_noise as r
    where d.breadth in ('heard_tenant', 'heard_agent') and e.weights > d.weights
),

usual_spreads (kind, usual) as (
    values ('of_models', 0.0225), ('of_benchmarks', 0.02), ('of_groups', 0.005)
),

weighed as (
    select
        kind,
        cast(round(1e12 * (squared - sampling) * pow(usual / (sampling + usual), 2)) as hugeint) as gained,
        cast(round(1e12 * pow(usual / (sampling + usual), 2)) as hugeint) as counted
    from pairs
),

first_spreads as (
    select
        k.kind,
        greatest(
            1e-4, (coalesce(sum(w.gained), 0) / 1e12 + 4 * k.usual) / (coalesce(sum(w.counted), 0) / 1e12 + 4)
        ) as spread
    from usual_spreads as k
    left join weighed as w on k.kind = w.kind
    group by k.kind, k.usual
),

known as (
    select
        s.slope,
        max(f.spread) filter (where f.kind = 'of_models') as of_models,
        max(f.spread) filter (where f.kind = 'of_benchmarks') as of_benchmarks,
        max(f.spread) filter (where f.kind = 'of_groups') as of_groups
    from sloped as s
    cross join first_spreads as f
    group by s.slope
),

predicted as (
    select
        pow(
            c.deviation - (k.slope * c.priority / k.of_models + c.others_precision * c.others_deviation)
            / (1 / k.of_models + c.others_precision), 2
        ) as squared,
        c.sampling + 1 / (1 / k.of_models + c.others_precision) as sampling
    from rated as c
    cross join known as k
    where c.others_precision > 0
),

weighed_tasks as (
    select
        cast(round(1e12 * (squared - sampling) * pow(0.01 / (sampling + 0.01), 2)) as hugeint) as gained,
        cast(round(1e12 * pow(0.01 / (sampling + 0.01), 2)) as hugeint) as counted
    from predicted
),

-- by the median too, which a few specialities do not move: that of a squared normal is 0.455 of its mean
middling as (
    select
        (count(*) * greatest(0.0, coalesce(median(squared) / 0.455 - median(sampling), 0.0)) + 4 * 0.01)
        / (count(*) + 4) as spread
    from predicted
)

select
    r.noise,
    k.slope,
    k.of_models,
    greatest(
        1e-4,
        least(
            m.spread, (coalesce(sum(p.gained), 0) / 1e12 + 4 * 0.01) / (coalesce(sum(p.counted), 0) / 1e12 + 4)
        )
    ) as of_tasks,
    k.of_benchmarks,
    k.of_groups
from known as k
cross join rating_noise as r
cross join middling as m
left join weighed_tasks as p on true
group by r.noise, k.slope, k.of_models, k.of_benchmarks, k.of_groups, m.spread
order by r.noise
