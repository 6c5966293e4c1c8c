select id as model, display_name, model_type, cost_tier, ctx_length, pricing_input, pricing_output, is_available, is_active, is_enabled
from public.catalog where provider_id = %(provider)s order by id
