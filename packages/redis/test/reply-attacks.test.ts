import { replyAttacks } from '@streamswitch/testkit'
import redis from '../src/index.js'
import { brokerUrl } from './broker-url.js'
import { redisCliClient } from './redis-cli.js'

replyAttacks({
  adapter: redis,
  url: brokerUrl,
  foreign: redisCliClient(brokerUrl),
  inboxes: ({ topic, replies }) => {
    const prefix = replies.slice(0, -'streamswitch-replies'.length)
    return [`${prefix}${topic}`, `${replies}:`, `${replies}:${prefix}${topic}`, `ss:{${prefix}${topic}}:meta`, replies]
  },
})
