-- one row per model of the catalog: its base priority on 0..1, less the catalog's mean
with listed as (
    select id, coalesce(priority, 50) as priority from catalog where is_simulated = $is_simulated
),

middle as (
    select cast(sum(priority) as double) / count(*) as priority from listed
)

select
    c.id as model,
    (c.priority - m.priority) / 100.0 as deviation
from listed as c
cross join middle as m
order by c.id
