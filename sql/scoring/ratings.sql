-- one row per feedback event of one day, with the reason why it is left out, if it is
select
    *,
    case
        when created_at is null then 'created_at is unreadable'
        when model is null or is_simulated is null or rating is null then 'model, is_simulated or rating is missing'
        when not (isfinite(rating) and rating between 0 and 1) then 'rating out of range'
    end as left_out
from feedback_events
order by id
