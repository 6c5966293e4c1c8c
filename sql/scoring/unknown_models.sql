-- one row per provider_name, model_name that no catalog entry explains, with its requests of all time
select
    n.provider_name,
    n.model_name,
    cast(coalesce(sum(m.requests), 0) as bigint) as requests
from model_names as n
left join seen_keys as m
    on n.model_name = m.model_name and n.provider_name is not distinct from m.provider_name and m.is_simulated = $is_simulated
where not n.is_known
group by n.provider_name, n.model_name
order by n.provider_name, n.model_name
