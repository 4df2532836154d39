-- Starts a run: queues the tasks that wait for nothing; a run whose tasks are all satisfied ends at once. Atomic so
-- that two starters cannot both queue them.
-- ARGV: indexes of tasks that wait for nothing. May be repeated, and called in slices: a task that is no
-- longer waiting is left alone.
-- Returns how many tasks were queued.
if not meta('run') then return redis.error_reply('TEK no such run') end
if meta('status') == 'pending' then
  redis.call('SADD', 'tek:active', meta('run'))
  for _, key in ipairs(all_keys()) do redis.call('PERSIST', key) end  -- stored runs lapse, started ones do not
  begin(true)
end
if meta('status') == 'running' and not meta('stopping') then
  local free = {}
  for at, state in ipairs(fetch(K.state, ARGV)) do
    if not state then free[#free + 1] = ARGV[at] end
  end
  open(free)
end
local count = #ready
finish('')
return count
