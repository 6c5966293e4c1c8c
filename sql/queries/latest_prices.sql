-- the latest price of each model, in USD per 1M tokens; null is unknown, estimated is what a price library says
select
    m.key as model,
    p.input_price_per_m,
    p.output_price_per_m,
    p.cached_input_price_per_m,
    p.source,
    p.source = 'genai-prices' as is_estimated,
    p.timestamp
from prices as p
inner join models as m on p.model_id = m.id
where p.timestamp <= $as_of and p.quarantine_reason is null
qualify row_number() over (partition by m.key order by p.timestamp desc, p.id desc) = 1
order by m.key
