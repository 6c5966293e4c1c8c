-- one row per source, reason: rows that count nowhere, and one of them to look at
with reasons as (
    select source, reason, rows_left_out, example_id
    from day_left_out
    where is_simulated is null or is_simulated = $is_simulated
    union all
    select source, 'later than as_of' as reason, later as rows_left_out, cast(null as varchar) as example_id
    from seen_keys
    where is_simulated = $is_simulated and later > 0
)

select
    source,
    reason,
    cast(sum(rows_left_out) as bigint) as rows_left_out,
    min(example_id) as example_id
from reasons
group by source, reason
order by source, reason
