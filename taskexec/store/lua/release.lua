-- Gives back members of a batch that were claimed and not started; they are queued again as the same attempt.
-- Atomic: a member is either held or queued. ARGV: worker, token, then index, attempt of each member.
-- What they stood behind is long, and counts as measured, so that its like travel alone.
-- May be repeated: only members still leased to the token are given back. What others held of the worker's slot is
-- given back as well: their attempts are over here.
-- Returns how many were queued again.
local worker, token = ARGV[1], ARGV[2]
local kind
local over = {}
for at = 3, #ARGV, 2 do
  local index, attempt = ARGV[at], ARGV[at + 1]
  over[#over + 1] = {index, attempt, token}
  if redis.call('ZREM', K.lease, index .. '|' .. attempt .. '|' .. token) == 1
      and redis.call('HGET', K.state, index) == 'R' .. attempt then
    line('B', index, attempt)
    kind = parse(redis.call('HGET', K.task, index)).kind
    ready[#ready + 1] = {index, tonumber(attempt)}
  end
end
give_back_attempts(worker, over)
if kind then
  local long, known = tonumber(meta('batch_target_us')), tonumber(meta('ewma:' .. kind) or '0')
  put_meta('ewma:' .. kind, text(math.max(long, known)))
end
local count = #ready
finish(worker)
return count
