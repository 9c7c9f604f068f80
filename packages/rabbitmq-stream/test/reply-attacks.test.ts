import { replyAttacks } from '@streamswitch/testkit'
import rabbitmqStream from '../src/index.js'
import { BROKER_URL } from './support/broker.js'
import { foreignClient } from './support/foreign.js'

replyAttacks({
  adapter: rabbitmqStream,
  url: BROKER_URL,
  foreign: foreignClient(),
  inboxes: ({ topic, replies }) => [replies.replace('streamswitch-replies', topic), `${replies}:x`, 'UPPER', 'a b'],
})
