-- claim: a delivery of a link may run. ARGV: format, lane, chain, link, claim ("worker nonce").
-- Answers "" (yes), or why not; another format is answered with its number.
local found = redis.call('HGET', KEYS[1], 'format')
if found and found ~= ARGV[1] then return 'format ' .. found end
local chain, link, claim, outcome = held(ARGV[2], 'chain', 'link', 'claim', 'outcome')
if chain ~= ARGV[3] or link ~= ARGV[4] then return 'not current' end
if outcome then return 'outcome' end
if claim then return claim == ARGV[5] and '' or 'claimed' end
redis.call('HDEL', KEYS[1], ARGV[2] .. '.claim')
redis.call('HSET', KEYS[1], ARGV[2] .. '.claim', ARGV[5])
return ''
