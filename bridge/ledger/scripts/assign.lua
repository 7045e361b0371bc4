-- assign: draws the number of a new owner, higher than all before it, and changes nothing else.
-- ARGV: format, bridge, owner number in the committed metadata.
-- Answers {format found, seconds, microseconds, all fields}, or {format found} when it is another format.
local found = redis.call('HGET', KEYS[1], 'format')
if found and found ~= ARGV[1] then return {found} end
redis.call('EXPIRE', KEYS[1], KEEP_S)
local now = redis.call('TIME')
local number = highest(highest(redis.call('HGET', KEYS[1], 'owner'), ARGV[3]), now[1]) + 1
redis.call('HSET', KEYS[1], 'format', ARGV[1], 'owner', string.format('%.0f', number), 'bridge', ARGV[2])
redis.call('EXPIRE', KEYS[1], KEEP_S) -- once more: the hash may be new
return {ARGV[1], now[1], now[2], redis.call('HGETALL', KEYS[1])}
