-- the models of one provider; $provider is its key, as in "openrouter"
select
    id as model,
    display_name,
    model_type,
    cost_tier,
    ctx_length,
    pricing_input,
    pricing_output,
    is_available,
    is_active,
    is_enabled
from catalog
where provider_id = $provider
order by id
