select distinct on (p.input_price_per_m + p.output_price_per_m, m.key)
    r.key as provider, m.key as model, p.input_price_per_m, p.output_price_per_m, p.cached_input_price_per_m, p.source,
    p.source = 'genai-prices' as is_estimated, p.timestamp
from public.models as m
inner join public.providers as r on m.provider_id = r.id
cross join lateral (
    select * from public.prices where model_id = m.id and quarantine_reason is null and timestamp <= %(as_of)s
    order by timestamp desc, id desc limit 1
) as p
where m.name ilike '%%' || %(model)s || '%%'
order by p.input_price_per_m + p.output_price_per_m asc nulls last, m.key
