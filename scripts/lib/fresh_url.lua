-- fresh_url.lua - for `refresh` of http.download: a presigned URL expires while the gateway is
-- without power or link; with another one the download goes on where it stopped.
--
--     http.download({ url = args.url, refresh = fresh_url(job, args), ... })

---@param job table
---@param args table  of which `url` is the one that has expired
---@return fun(): string?, string?
return function(job, args)
  return function()
    local fresh, problem = job:fresh_args()
    if fresh and fresh.url ~= args.url then
      return fresh.url
    end
    return nil, problem or "the service has no other URL for it"
  end
end
