-- fail: a rate and its interval lie between 0 and 1, the interval around the rate
select model, domain, window_name, accuracy, accuracy_low, accuracy_high, failure_rate, failure_rate_low, failure_rate_high
from model_metrics_by_window
where
    (accuracy is null) <> (accuracy_low is null)
    or not coalesce(accuracy between 0 and 1 and accuracy_low <= accuracy + 1e-9 and accuracy <= accuracy_high + 1e-9, true)
    or not coalesce(
        failure_rate between 0 and 1
        and failure_rate_low <= failure_rate + 1e-9 and failure_rate <= failure_rate_high + 1e-9, true
    )
order by model, domain, window_name
