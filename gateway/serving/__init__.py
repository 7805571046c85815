"""Around the ext_proc stream: health, TLS, drain, reload, traces and the admin pages."""
