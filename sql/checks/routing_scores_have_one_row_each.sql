-- fail: a model has one row per scope, task_type, tenant_id and agent
select model, scope, task_type, tenant_id, agent, count(*) as times
from routing_scores
group by model, scope, task_type, tenant_id, agent
having count(*) > 1
order by model, scope, task_type, tenant_id, agent
