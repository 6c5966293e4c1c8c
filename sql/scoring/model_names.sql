-- one row per provider_name, model_name as events call a model: the key of the model that is meant
-- A name is a catalog key, else an external id at its provider, else an external id that only one model has; else it stays as it
-- came and is not known. Simulated names are looked for among simulated models only, real ones among real ones.
with seen as (
    select provider_name, model_name from seen_keys where is_simulated = $is_simulated
    union
    select cast(null as varchar) as provider_name, model_name from day_votes where is_simulated = $is_simulated
),

known as (
    select id, provider_id, external_id from catalog where is_simulated = $is_simulated
),

unmistakable as (
    select external_id, min(id) as id from known group by external_id having count(*) = 1
)

select
    s.provider_name,
    s.model_name,
    coalesce(k.id, p.id, u.id, s.model_name) as model,
    coalesce(k.id, p.id, u.id) is not null as is_known
from seen as s
left join known as k on s.model_name = k.id
left join known as p on s.provider_name = p.provider_id and s.model_name = p.external_id
left join unmistakable as u on s.model_name = u.external_id and s.provider_name is null
order by s.provider_name, s.model_name
