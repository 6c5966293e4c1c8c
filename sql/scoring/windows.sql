-- one row per window_name: the whole hours it is made of, the last being the hour that $as_of lies in
-- 24h is the 24 hours before that hour and what has passed of it, 1h the hour before it likewise; "all" has no beginning.
select
    w.window_name,
    case when w.hours is null then cast('-infinity' as timestamptz) else n.last_hour - to_hours(w.hours) end as first_hour,
    n.last_hour
from (values ('1h', 1), ('24h', 24), ('7d', 168), ('30d', 720), ('90d', 2160), ('all', null)) as w (window_name, hours)
cross join (select date_trunc('hour', cast($as_of as timestamptz)) as last_hour) as n
order by w.window_name
