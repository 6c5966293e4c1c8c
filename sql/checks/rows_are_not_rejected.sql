-- warn: rows are left out only because they were never sent, or their run was deleted
select source, reason, rows_left_out, example_id
from left_out
where reason not in ('aborted', 'skipped', 'its run was deleted', 'later than as_of')
order by source, reason
