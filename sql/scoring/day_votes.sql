-- one row per feedback event of one day that is not left out: an opinion, in millionths
-- All of a day are kept: which of them is the newest depends on as_of, and a day is computed once.
-- A rating is a whole number of millionths, so that means do not depend on the order of adding.
select
    message_id,
    user_id,
    feedback_type,
    is_simulated,
    model as model_name,
    task_type,
    agent_id,
    tenant_id,
    cast(round(rating * 1e6) as bigint) as rating_micros,
    created_at,
    id
from ratings
where left_out is null
order by message_id, user_id, feedback_type, is_simulated, created_at, id
