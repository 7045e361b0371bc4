-- A registry's member says that it lives. KEYS[1]: index. KEYS[2]: the member's own key.
-- ARGV: member, milliseconds until it counts as gone, what it says. The first write needs no memory, so that a full
-- server still hears who lives.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
redis.call('SET', KEYS[2], string.format('%.0f', now) .. '\n' .. ARGV[3], 'PX', ARGV[2])
redis.call('ZADD', KEYS[1], string.format('%.0f', now + ARGV[2]), ARGV[1])
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 1
