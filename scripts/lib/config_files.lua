-- config_files.lua - the files that update-config may replace, and how each is checked. Yours to
-- fill in. As long as it is empty, documents may name any file within `fs_roots`, and say
-- themselves how it is checked, with programs of `commands = { allow = { ... } }`.
--
--   ["/etc/app/app.conf"] = {
--     validate = { "app", "--check", "{file}" }, -- ends with 0; without {file}: in place
--     restart = "app.service",                   -- or reload = "app.service"
--     mode = "640", user = "app",                -- of a file that was not there before
--   },

return {}
