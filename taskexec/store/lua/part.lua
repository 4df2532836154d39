-- Ends a rank above 0 of a distributed task whose processes have ended: its lease goes, what it held returns, and who leads
-- it is told how it went. Atomic: it is over once, and nobody takes it for lost.
-- ARGV: worker, token, index, attempt, rank, its record. May be repeated.
-- Returns 1 when it still counted, else 0: its attempt had ended before.
local worker, token, index, attempt, rank, record = unpack(ARGV)
local counted = redis.call('ZREM', K.lease, index .. '|' .. attempt .. '|' .. token)
if counted == 1 then
  redis.call('HSET', K.gang, index .. ':' .. rank, attempt .. ' ' .. PARTED .. ' ')
  local leader = begun_as(index, attempt, 0)
  if leader then ring(leader, 'done ' .. rank .. ' ' .. record) end
end
give_back(worker, token, {index .. ':' .. attempt})
finish(worker)
return counted
