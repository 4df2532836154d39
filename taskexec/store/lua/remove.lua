-- Forgets a run that has ended or never began: all of its keys. Atomic, so that it cannot begin meanwhile.
-- ARGV: none. May be repeated.
-- Returns 1, 0 when there is no such run, or -1 when it goes on (nothing was changed).
local status = meta('status')
if status == 'running' then return -1 end
redis.call('ZREM', 'tek:runs', meta('run') or '')
for _, key in ipairs(all_keys()) do redis.call('DEL', key) end
return status and 1 or 0
