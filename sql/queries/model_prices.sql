-- a model's latest price at each provider that has it, cheapest first; $model is a part of its key, as in "llama-3.1-8b"
select
    r.key as provider,
    m.key as model,
    p.input_price_per_m,
    p.output_price_per_m,
    p.cached_input_price_per_m,
    p.source,
    p.source = 'genai-prices' as is_estimated,
    p.timestamp
from prices as p
inner join models as m on p.model_id = m.id
inner join providers as r on m.provider_id = r.id
where p.timestamp <= $as_of and p.quarantine_reason is null and contains(lower(m.key), lower($model))
qualify row_number() over (partition by m.key order by p.timestamp desc, p.id desc) = 1
order by p.input_price_per_m + p.output_price_per_m asc nulls last, m.key asc
