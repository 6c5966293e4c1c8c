select key as provider, name, provider_type, base_url, is_active, is_simulated, last_synced from public.providers order by key
