-- one row per source, is_simulated, reason: how many of one day's rows count nowhere, and one of them to look at
select
    source,
    is_simulated,
    left_out as reason,
    count(*) as rows_left_out,
    min(id) as example_id
from events
where left_out is not null
group by source, is_simulated, reason
union all
select
    'feedback' as source,
    is_simulated,
    left_out as reason,
    count(*) as rows_left_out,
    min(id) as example_id
from ratings
where left_out is not null
group by source, is_simulated, reason
order by source, is_simulated, reason
