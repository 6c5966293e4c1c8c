-- one row per domain, task_type as events name them: the domain they count in
-- A request without a domain counts in its task type's, if the task type has exactly one; else in "unspecified".
with seen as (
    select distinct domain, task_type from seen_keys
),

plain as (
    select task_type, min(domain) as domain from task_domains group by task_type having count(distinct domain) = 1
)

select
    s.domain as event_domain,
    s.task_type,
    coalesce(s.domain, p.domain, 'unspecified') as domain
from seen as s
left join plain as p on s.task_type = p.task_type
order by s.domain, s.task_type
