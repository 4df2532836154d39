-- Gives back what a worker holds for deliveries and attempts that it knows to be over. Atomic.
-- ARGV: worker, then names of holds. May be repeated. Returns how many there were.
local count = 0
for at = 2, #ARGV do
  if redis.call('HEXISTS', 'tek:holds:' .. ARGV[1], ARGV[at]) == 1 then
    give_back(ARGV[1], ARGV[at])
    count = count + 1
  end
end
finish('')
return count
