-- warn: every model that events name is in the catalog
select provider_name, model_name, requests
from unknown_models
order by requests desc, provider_name asc, model_name asc
