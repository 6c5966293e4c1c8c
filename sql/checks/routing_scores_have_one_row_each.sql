-- fail: a model has one row per scope, task_type and agent
select model, scope, task_type, agent, count(*) as times
from routing_scores
group by model, scope, task_type, agent
having count(*) > 1
order by model, scope, task_type, agent
