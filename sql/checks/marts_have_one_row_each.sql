-- fail: a mart by hour or day has one row of each kind
select 'hourly_trends' as mart, concat_ws(' ', hour, source, provider) as named, count(*) as times
from hourly_trends
group by hour, source, provider
having count(*) > 1
union all
select 'error_breakdown' as mart, concat_ws(' ', date, source, provider, model, outcome, error_type) as named, count(*) as times
from error_breakdown
group by date, source, provider, model, outcome, error_type, status_code
having count(*) > 1
union all
select 'organization_daily' as mart, concat_ws(' ', date, tenant_id) as named, count(*) as times
from organization_daily
group by date, tenant_id
having count(*) > 1
union all
select 'price_history' as mart, price_id as named, count(*) as times
from price_history
group by price_id
having count(*) > 1
order by mart, named
