-- fail: the warehouse's model_metrics has one row per model and domain
select model, domain, count(*) as times
from model_metrics
group by model, domain
having count(*) > 1
order by model, domain
