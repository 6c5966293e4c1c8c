-- one row per model, domain, window_name (1h, 24h, 7d, 30d, 90d); domain null: all of them together
select
    model,
    domain,
    window_name,
    cast($is_simulated as boolean) as is_simulated,
    * exclude (model, domain, window_name)
from window_metrics
where window_name <> 'all'
order by model, domain, window_name
