-- keep_pauses: a server that was emptied or rolled back is told the pauses that a bridge still knows.
-- KEYS[1]: the group's instructions. ARGV: their number, then field and value, alternating.
if tonumber(redis.call('HGET', KEYS[1], 'number') or '0') >= tonumber(ARGV[1]) then return 0 end
for i = 2, #ARGV, 2 do redis.call('HSETNX', KEYS[1], ARGV[i], ARGV[i + 1]) end
redis.call('HSET', KEYS[1], 'number', ARGV[1])
return 1
