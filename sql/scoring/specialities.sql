-- one row per snapshot: specialities, how large a share of cells lies far above, or far below, what anything broader foretells
-- A cell lies about its prediction like most (of_tasks), or 0.25 above or below it, give or take 0.1. The shares are found by
-- three steps of expectation and maximization from 2.5 % each, which count as 20 cells. Sums are of whole numbers.
with recursive cells as (
    select
        c.deviation - (s.slope * coalesce(p.deviation, 0.0) / s.of_models + c.others_precision * c.others_deviation)
        / (1 / s.of_models + c.others_precision) as surprise,
        s.noise / c.effective_n + 1 / (1 / s.of_models + c.others_precision) + s.of_tasks as usual_variance
    from rated_cells as c
    cross join evidence_spread as s
    left join base_priorities as p on c.model = p.model
    where c.others_precision > 0 and c.task_type is not null
),

-- how likely each cell's surprise is if it is like most, far above or far below
likely as (
    select
        exp(-0.5 * surprise * surprise / usual_variance) / sqrt(usual_variance) as like_most,
        exp(-0.5 * pow(surprise - 0.25, 2) / (usual_variance + 0.01)) / sqrt(usual_variance + 0.01) as far_above,
        exp(-0.5 * pow(surprise + 0.25, 2) / (usual_variance + 0.01)) / sqrt(usual_variance + 0.01) as far_below
    from cells
),

shares as (
    select
        0 as step,
        cast(0.025 as double) as above,
        cast(0.025 as double) as below
    union all
    select
        max(s.step) + 1 as step,
        (
            sum(cast(round(1e9 * s.above * l.far_above / (
                (1 - s.above - s.below) * l.like_most + s.above * l.far_above + s.below * l.far_below
            )) as hugeint)) / 1e9 + 20 * 0.025
        ) / (count(*) + 20) as above,
        (
            sum(cast(round(1e9 * s.below * l.far_below / (
                (1 - s.above - s.below) * l.like_most + s.above * l.far_above + s.below * l.far_below
            )) as hugeint)) / 1e9 + 20 * 0.025
        ) / (count(*) + 20) as below
    from shares as s
    cross join likely as l
    where s.step < 3
    having count(*) > 0
)

select
    above,
    below
from shares
order by step desc
limit 1
