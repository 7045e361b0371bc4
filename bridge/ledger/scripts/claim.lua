-- claim: a delivery of a link may run. ARGV: format, lane, chain, link, claim ("worker nonce").
-- Answers "" (yes), or why not (another format: its number), and the microseconds that the slowest link before it ran.
local found = redis.call('HGET', KEYS[1], 'format')
if found and found ~= ARGV[1] then return {'format ' .. found} end
local chain, link, claim, outcome, slowest = held(ARGV[2], 'chain', 'link', 'claim', 'outcome', 'slowest')
if chain ~= ARGV[3] or link ~= ARGV[4] then return {'not current'} end
if outcome then return {'outcome'} end
if claim then return {claim == ARGV[5] and '' or 'claimed', slowest or '0'} end
redis.call('HDEL', KEYS[1], ARGV[2] .. '.claim')
redis.call('HSET', KEYS[1], ARGV[2] .. '.claim', ARGV[5])
return {'', slowest or '0'}
