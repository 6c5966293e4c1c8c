select m.key as model, p.timestamp, p.input_price_per_m, p.output_price_per_m, p.cached_input_price_per_m, p.source, p.quarantine_reason
from public.prices as p inner join public.models as m on p.model_id = m.id
where p.timestamp > %(as_of)s - interval '30 days' and p.timestamp <= %(as_of)s
order by m.key, p.timestamp, p.id
