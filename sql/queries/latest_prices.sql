-- the latest price of each model, in USD per 1M tokens
select
    m.key as model,
    p.input_price_per_m,
    p.output_price_per_m,
    p.source,
    p.timestamp
from prices as p
inner join models as m on p.model_id = m.id
where p.timestamp <= $as_of
qualify row_number() over (partition by m.key order by p.timestamp desc, p.id desc) = 1
order by m.key
