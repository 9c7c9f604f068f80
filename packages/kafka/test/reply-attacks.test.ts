import { replyAttacks } from '@streamswitch/testkit'
import kafka from '../src/index.js'
import { brokerUrl } from './support/broker.js'
import { kcat } from './support/kcat.js'

replyAttacks({
  adapter: kafka,
  url: brokerUrl,
  foreign: kcat,
  inboxes: ({ topic, replies }) => [
    replies.replace('streamswitch-replies', topic),
    `${topic}/0`,
    '0',
    '-1/x',
    '1e3/x',
    '0/UPPER',
    '0/a/b',
  ],
})
